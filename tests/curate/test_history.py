"""The label history: every event in words, with what became of it."""

import csv
import io
import json

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.core.config import MarsConfig, TriageConfig
from mars_engine.core.records import Pair, Turn
from mars_engine.core.review_state import ADJUDICATOR_PREFIX, POLICY_PREFIX
from mars_engine.curate import history
from mars_engine.curate.history import label_history, write_history
from mars_engine.curate.review import Decision, append_decisions
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up

HOSTILE = 'a "quoted", text\r\nwith lines\n=SUM(A1) <script>alert(1)</script> \u2028 é 👩🏽‍🚀'


@pytest.fixture
def bench():
    opened = make_bench(MarsConfig(triage=TriageConfig(policy="keep")))
    hostile = Pair.of([Turn("user", HOSTILE)], f"{HOSTILE} good", f"{HOSTILE} bad")
    source = ListSource((hostile, *make_pairs(12)))
    import_pairs(source, opened.store, split="train", clock=opened.clock, progress=opened.progress)
    model = train_warm_up(opened)
    score_model(opened, model)
    make_proposals(opened, make_plan(opened, model).plan)
    yield opened
    opened.store.close()


def decide(bench, kind, item, action, annotator, **options):
    append_decisions(bench.store, kind, {item: Decision(action, **options)}, annotator=annotator, clock=bench.clock)


def fates(bench):
    return [(row.annotator, row.action, row.fate) for row in label_history(bench.store)]


def test_a_decision_stands_until_it_is_replaced_or_taken_back(bench):
    item = make_pairs(1)[0].id
    for action in ("label_right", "flip", "drop", "undo", "skip"):
        decide(bench, "pair", item, action, "ada")
    assert fates(bench) == [
        ("ada", "label_right", "replaced"),
        ("ada", "flip", "standing"),
        ("ada", "drop", "undone"),
        ("ada", "undo", "no decision"),
        ("ada", "skip", "no decision"),
    ]


def test_people_overrule_policies_and_adjudicators_people(bench):
    policy, adjudicator = f"{POLICY_PREFIX}gates", f"{ADJUDICATOR_PREFIX}eve"
    item = bench.store.proposals.proposals()[0].id
    decide(bench, "proposal", item, "accept", policy)
    assert fates(bench) == [(policy, "accept", "standing")]
    decide(bench, "proposal", item, "reject", "ada")
    decide(bench, "proposal", item, "accept", "bob")
    assert [fate for *_, fate in fates(bench)] == ["overruled", "standing", "standing"]
    decide(bench, "proposal", item, "reject", adjudicator)
    assert [fate for *_, fate in fates(bench)] == ["overruled", "overruled", "overruled", "standing"]
    decide(bench, "proposal", item, "undo", adjudicator)
    assert [fate for *_, fate in fates(bench)] == ["overruled", "standing", "standing", "undone", "no decision"]


def test_a_row_has_the_texts_of_item_and_edit(bench):
    source = next(pair for pair in bench.store.pairs.pairs("train") if pair.chosen.startswith(HOSTILE))
    proposal = bench.store.proposals.proposals(source_ids=[source.id])[0]
    record_review(
        bench.store, "proposal", proposal.id, "edit", annotator="ada", clock=bench.clock,
        chosen=f"{HOSTILE} edited", prompt=(Turn("user", "asked anew"),), note=HOSTILE, seconds=2.5,
    )  # fmt: skip
    (row,) = label_history(bench.store)
    assert (row.item_id, row.source_id, row.item_kind) == (proposal.id, source.id, "proposal")
    assert (row.chosen, row.rejected) == (proposal.chosen, proposal.rejected)
    assert json.loads(row.prompt) == [{"role": turn.role, "content": turn.content} for turn in proposal.prompt]
    assert (row.edited_chosen, row.edited_rejected) == (f"{HOSTILE} edited", "")
    assert json.loads(row.edited_prompt) == [{"role": "user", "content": "asked anew"}]
    assert (row.note, row.seconds, row.presented, row.standing) == (HOSTILE, 2.5, "open", True)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_is_written_reads_back_exactly(bench, form):
    for number, pair in enumerate(bench.store.pairs.pairs("train")):
        decide(bench, "pair", pair.id, "ambiguous" if number % 2 else "drop", "ada", note=HOSTILE)
    rows = list(label_history(bench.store))
    stream = io.StringIO(newline="")
    assert write_history(rows, stream, form) == len(rows) == 13
    stream.seek(0)
    if form == "csv":
        found = list(csv.DictReader(stream))
        assert [row["standing"] for row in found] == ["True"] * 13
    else:
        found = [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
        assert all(row["standing"] is True for row in found)
    for name in ("at", "annotator", "item_id", "action", "fate", "note", "prompt", "chosen", "rejected"):
        assert [row[name] for row in found] == [getattr(row, name) for row in rows]


def test_a_history_of_many_parts_is_the_same(bench, monkeypatch):
    for pair in bench.store.pairs.pairs("train"):
        decide(bench, "pair", pair.id, "flip", "ada")
    decide(bench, "proposal", bench.store.proposals.proposals()[0].id, "flag", "ada")
    whole = list(label_history(bench.store))
    monkeypatch.setattr(history, "ITEMS_AT_ONCE", 4)
    assert list(label_history(bench.store)) == whole
    assert [row.item_kind for row in whole] == ["pair"] * 13 + ["proposal"]


def test_without_decisions_there_are_no_rows(bench):
    stream = io.StringIO()
    assert write_history(label_history(bench.store), stream, "csv") == 0
    assert stream.getvalue().startswith('"at","annotator","item_kind"')
