"""Rewrites in the plain form and by a function: the same gates and provenance, asked once, nothing lost."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_tools import chat_bench, chat_config, planned

from mars_engine.augment.propose import make_proposals
from mars_engine.augment.quality.gatekeeper import last_turn
from mars_engine.core.errors import GenerationError
from mars_engine.core.records import Pair
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.rewrites_elsewhere import AnswersReport, open_plan, take_answers, with_writer

OFFLINE: dict[str, Any] = {"paraphraser": "rules", "refiner": "extractive", "variants": 2}
NOWHERE = "http://127.0.0.1:1/v1"


@pytest.fixture
def bench():
    with chat_bench(chat_config(NOWHERE, **OFFLINE), pairs=12) as opened:
        yield opened


def take(bench, plan, folder: Path, lines: list[dict | str], **options: Any) -> AnswersReport:
    file = folder / "in.jsonl"
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    report = take_answers(bench, plan, [file], **options)
    assert report.given == report.taken + len(report.unused)
    return report


def sources(bench, plan, gate: str) -> list[Pair]:
    """Pairs with a budget that are to be refined first ("low"), or not ("high")."""
    rows = [row.pair_id for row in bench.store.proposals.plan_rows(plan.id) if row.budget > 0 and row.gate == gate]
    return list(bench.store.pairs.by_id(rows).values())


def given_by(bench, writer: str) -> list[Any]:
    every = bench.store.proposals.proposals()
    return [each for each in every if each.generators.get("paraphrase", {}).get("settings") == {"writer": writer}]


def test_rewrites_by_id_and_by_texts_become_proposals_under_their_writers_names(bench, tmp_path):
    plan = planned(bench)
    first, second = sources(bench, plan, "high")[:2]
    texts = {"prompt": last_turn(second), "chosen": second.chosen, "rejected": second.rejected}
    lines = [
        {"id": first.id, "side": "chosen", "rewrite": "one of Ada's", "writer": "Ada"},
        {"id": first.id, "side": "chosen", "rewrite": "another of Ada's", "writer": "Ada"},
        {"id": first.id, "side": "rejected", "rewrite": ["worse by Ada", "worse still by Ada"], "writer": "Ada"},
        {"id": first.id, "side": "prompt", "rewrite": "asked otherwise?", "writer": "Ada"},
        {**texts, "side": "chosen", "rewrite": "one of Grace's", "writer": "Grace"},
    ]
    report = take(bench, plan, tmp_path, lines)
    assert (report.given, report.taken, report.unused) == (6, 6, ())
    assert set(report.proposed) == {"Ada", "Grace"}
    by_ada, by_grace = given_by(bench, "Ada"), given_by(bench, "Grace")
    assert {(each.chosen, each.rejected) for each in by_ada} == {
        ("one of Ada's", "worse by Ada"),
        ("another of Ada's", "worse still by Ada"),
    }
    assert by_ada[0].prompt[-1].content == "asked otherwise?"
    assert [(each.chosen, each.rejected) for each in by_grace] == [("one of Grace's", second.rejected)]
    assert {each.source_id for each in by_ada} == {first.id}
    assert all(each.flags for each in by_ada), "the gates have judged them: they say something else"
    failures = bench.store.proposals.failures(by_grace[0].settings_id)
    assert {each.target for each in failures} == {"prompt", "chosen", "rejected"}, "two were wanted of each"
    assert not any(each.retryable for each in failures)


def test_the_same_file_twice_adds_nothing_and_more_of_the_same_writer_adds_to_it(bench, tmp_path):
    plan = planned(bench)
    pair = sources(bench, plan, "high")[0]
    chosen = {"id": pair.id, "side": "chosen", "rewrite": "chosen anew", "writer": "Ada"}
    take(bench, plan, tmp_path, [chosen])
    before = bench.store.chat.all(), bench.store.proposals.proposals()
    report = take(bench, plan, tmp_path, [chosen])
    assert (report.taken, report.left_out) == (0, {"taken before": 1})
    assert (bench.store.chat.all(), bench.store.proposals.proposals()) == before
    report = take(bench, plan, tmp_path, [{**chosen, "side": "rejected", "rewrite": "rejected anew"}])
    assert report.taken == 1
    assert ("chosen anew", "rejected anew") in {(each.chosen, each.rejected) for each in given_by(bench, "Ada")}


def test_refined_sides_are_refinements_and_are_paraphrased_by_their_texts(bench, tmp_path):
    plan = planned(bench)
    pair = sources(bench, plan, "low")[0]
    refined = "an altogether different answer about weather"
    columns = {"chosen_p": ["the chosen one again"], "rejected_refined": [refined], "label_doubt": False}
    report = take(bench, plan, tmp_path, [{"pair_id": pair.id, **columns}], writer="Ada")
    assert (report.taken, report.unused) == (2, ())
    found = {each.method: each for each in bench.store.proposals.proposals()}
    assert set(found) == {"refined", "refined+paraphrase"}
    assert found["refined"].rejected == refined
    assert found["refined"].generators["refine"]["settings"] == {"writer": "Ada"}
    assert found["refined+paraphrase"].chosen == "the chosen one again"
    # The refined text is paraphrased in a later file, which names the refined pair by its texts.
    texts = {"prompt": last_turn(pair), "chosen": pair.chosen, "rejected": refined}
    report = take(bench, plan, tmp_path, [{**texts, "side": "rejected", "rewrite": "that, reworded"}], writer="Ada")
    assert (report.taken, report.unused) == (1, ())
    assert "that, reworded" in {each.rejected for each in given_by(bench, "Ada")}


def test_rows_of_the_imported_file_name_pairs_too(bench, tmp_path):
    plan = planned(bench)
    pairs = bench.store.pairs.pairs("train")
    high = {pair.id for pair in sources(bench, plan, "high")}
    number = next(place for place, pair in enumerate(pairs) if pair.id in high)
    report = take(bench, plan, tmp_path, [{"i": number, "chosen_p": "x y z", "prompt_p": "z?"}], writer="Ada")
    assert report.taken == 2
    assert {each.source_id for each in given_by(bench, "Ada")} == {pairs[number].id}


def test_where_nothing_was_planned_a_plan_is_drawn_and_the_open_one_is_kept(bench):
    score_model(bench, train_warm_up(bench))
    plan = open_plan(bench)
    assert bench.store.proposals.latest_plan() == plan == open_plan(bench)


def test_what_cannot_be_used_is_told_line_by_line(bench, tmp_path):
    plan = planned(bench)
    high, low = sources(bench, plan, "high")[0], sources(bench, plan, "low")[0]
    unbudgeted = [row.pair_id for row in bench.store.proposals.plan_rows(plan.id) if row.budget == 0]
    good = {"id": high.id, "side": "chosen", "rewrite": "good", "writer": "Ada"}
    lines = [
        good,
        good,
        {**good, "rewrite": high.chosen},
        {**good, "id": "nobody"},
        {**good, "writer": ""},
        {**good, "side": "left"},
        {**good, "kind": "poem"},
        {**good, "rewrite": 5},
        {"id": high.id, "writer": "Ada"},
        {"side": "chosen", "rewrite": "x", "writer": "Ada"},
        {**good, "prompt": "q", "id": None, "chosen": 1, "rejected": 2},
        {"i": 10_000, "chosen_p": "x", "writer": "Ada"},
        "[1]",
        {**good, "rewrite": ["second", "third"]},
        {"id": high.id, "rejected_refined": "no refining is needed here", "writer": "Ada"},
        {"id": low.id, "chosen_p": "good too", "writer": "Ada"},
        {**good, "id": "half a pair \ud800"},
        {**good, "rewrite": "half a letter \ud800"},
    ]
    if unbudgeted:
        lines.append({**good, "id": unbudgeted[0], "rewrite": "for later"})
    report = take(bench, plan, tmp_path, lines)
    fates = [(each.line, each.fate) for each in report.unused]
    assert fates[:14] == [
        (2, "twice"),
        (3, "unusable"),
        (4, "unknown"),
        *((number, "unreadable") for number in (5, 6, 7, 8, 9, 10, 11)),
        (12, "unknown"),
        (13, "unreadable"),
        (14, "not asked for"),
        (15, "not asked for"),
    ]
    assert fates[14:16] == [(17, "unknown"), (18, "unusable")]
    assert fates[16:] == [(19, "not asked for")] * bool(unbudgeted)
    reasons = {each.line: each.reason for each in report.unused}
    assert "unchanged" in reasons[3]
    assert "--writer" in reasons[5]
    assert "'left'" in reasons[6]
    assert "only 2 rewrites" in reasons[14]
    assert report.taken == 3


def test_a_function_paraphrases_and_is_not_handed_a_text_twice(bench):
    plan = planned(bench)
    handed: list[str] = []

    def shouting(texts: list[str]) -> list[list[str]]:
        handed.extend(texts)
        return [[f"{text} !", f"{text} !!"] for text in texts]

    written = with_writer(bench, shouting)
    report = make_proposals(written, plan)
    assert report.proposals > 0
    assert {each.generator for each in bench.store.proposals.failures()} == {"extractive-refiner"}
    assert len(handed) == len(set(handed)) > 12
    assert given_by(bench, "shouting")
    other = bench.config.propose.model_copy(update={"seed": 5})
    before = len(handed)
    again = make_proposals(replace(written, config=bench.config.model_copy(update={"propose": other})), plan)
    assert (again.done_before, again.proposals) == (0, report.proposals)
    assert len(handed) == before, "under other settings the same texts are taken from what is kept"


def test_a_function_may_give_one_text_or_none_and_nothing_else(bench):
    plan = planned(bench)
    report = make_proposals(with_writer(bench, lambda texts: [f"{text} so" for text in texts], "Ada"), plan)
    assert report.proposals > 0
    assert not report.retryable
    report = make_proposals(with_writer(bench, lambda texts: [[] for _ in texts], "silent"), plan)
    assert report.failed > 0
    assert any("silent gave no rewrite" in reason for reason in report.failures)
    for wrong in (lambda texts: texts[1:], lambda _: "no", lambda texts: [3 for _ in texts], lambda _: None):
        with pytest.raises(GenerationError, match="the writer returned"):
            make_proposals(with_writer(bench, wrong, "clumsy"), plan)
