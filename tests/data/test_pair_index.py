"""The pair index: every column against what the store's own records say, and what is read again when."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig, TriageConfig
from mars_engine.core.records import Split
from mars_engine.core.review_records import ReviewAction, ReviewEvent
from mars_engine.core.review_state import plain_status, proposal_state, proposal_states
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import (
    DECISION_CODES,
    GATE_CODES,
    SPLIT_CODES,
    VERDICT_CODES,
    PairIndex,
    PairIndexCache,
)
from mars_engine.evaluate.status import workspace_status
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.store import Store
from mars_engine.workspace.rounds import run_rounds

CONFIG = MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def bench() -> Workbench:
    made = make_bench(CONFIG)
    add_pairs(made, make_pairs(24), "train")
    add_pairs(made, make_pairs(8, seed=1, first=1000), "heldout")
    return made


def add_pairs(bench: Workbench, pairs, split: Split, name: str = "list") -> None:
    source = ListSource(pairs, name=name)
    import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)


def proposed(bench: Workbench) -> None:
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)


def decide(store: Store, kind, item_id: str, action: ReviewAction, *, by: str = "ann", **texts: str) -> None:
    earlier = store.reviews.events(kind, [item_id]).get(item_id, [])
    sequence = 1 + max((event.sequence for event in earlier if event.annotator == by), default=0)
    store.reviews.append([ReviewEvent(kind, item_id, action, by, sequence, NOON, **texts)])


def by_id(index: PairIndex, column) -> dict[str, object]:
    return {pair_id.decode(): value for pair_id, value in zip(index.ids, np.asarray(column).tolist(), strict=True)}


def same(one: PairIndex, other: PairIndex) -> bool:
    def equal(name: str) -> bool:
        first, second = getattr(one, name), getattr(other, name)
        if isinstance(first, np.ndarray):
            return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
        return bool(first == second)

    return all(equal(name) for name in one.__dataclass_fields__)


def test_an_empty_store_gives_an_empty_index():
    index = PairIndexCache(make_bench().store).current()
    assert len(index) == 0
    assert index.model is None
    assert index.positions(["0" * 24]).tolist() == []


def test_before_a_model_all_that_is_unknown_is_marked_so(bench):
    index = PairIndexCache(bench.store).current()
    assert [SPLIT_CODES[code] for code in index.split] == ["train"] * 24 + ["heldout"] * 8
    for column in (index.margin, index.out_of_fold_margin, index.out_of_fold_std, index.distance):
        assert np.isnan(column).all()
    for column in (index.verdict, index.gate, index.decision, index.proposals, index.budget):
        assert not column.any()


def test_each_column_says_what_the_records_say(bench):
    proposed(bench)
    store = bench.store
    index = PairIndexCache(store).current()
    model = store.models.latest()
    assert index.model == model
    margins = {pair_id: chosen - rejected for pair_id, (chosen, rejected) in store.models.scores(model.id).items()}
    assert by_id(index, index.margin) == pytest.approx(margins, abs=1e-6)
    pairs = {pair.id: pair for split in SPLIT_CODES for pair in store.pairs.pairs(split)}
    assert list(pairs) == [pair_id.decode() for pair_id in index.ids]
    assert [index.subset_names[code] for code in index.subset] == [pair.subset for pair in pairs.values()]
    assert [index.dataset_names[code] for code in index.dataset] == ["list"] * 32
    triage = {row.pair_id: row for row in store.models.triage(model.id)}
    verdicts = by_id(index, index.verdict)
    out_of_fold = by_id(index, index.out_of_fold_margin)
    for pair_id in pairs:
        row = triage.get(pair_id)
        assert VERDICT_CODES[verdicts[pair_id]] == (row.verdict if row else "")
        assert out_of_fold[pair_id] == pytest.approx(row.margin_mean if row else np.nan, abs=1e-6, nan_ok=True)
    plan = store.proposals.latest_plan()
    assert index.plan == plan
    rows = {row.pair_id: row for row in store.proposals.plan_rows(plan.id)}
    assert by_id(index, index.budget) == {pair_id: rows[pair_id].budget if pair_id in rows else 0 for pair_id in pairs}
    gates = by_id(index, index.gate)
    assert all(GATE_CODES[gates[pair_id]] == row.gate for pair_id, row in rows.items())
    distances = store.pairs.distances(bench.encoder.fingerprint)
    assert len(distances) == 32
    assert by_id(index, index.distance) == pytest.approx(distances, abs=1e-6)
    counted = dict.fromkeys(pairs, 0)
    for proposal in store.proposals.proposals():
        counted[proposal.source_id] += 1
    assert by_id(index, index.proposals) == counted
    assert index.pending.tolist() == index.proposals.tolist()


def test_margins_by_present_labels_are_turned_where_flipped_and_unknown_where_dropped(bench):
    proposed(bench)
    first, second, third, *_ = bench.store.pairs.pairs("train")
    for pair, action in ((first, "flip"), (second, "drop"), (third, "ambiguous")):
        decide(bench.store, "pair", pair.id, action)
    index = PairIndexCache(bench.store).current()
    signed = index.by_present_labels(index.margin)
    assert signed.dtype == index.margin.dtype
    assert signed[0] == -index.margin[0] != 0
    assert np.isnan(signed[1])
    assert np.array_equal(signed[2:], index.margin[2:])


def test_verdicts_stand_until_a_newer_warm_up_has_triaged(bench):
    store = bench.store
    first = train_warm_up(bench)
    score_model(bench, first)
    index = PairIndexCache(store).current()
    assert index.triaged_by == first
    assert index.verdict.any()
    decide(store, "pair", store.pairs.pairs("train")[0].id, "drop")
    second = train_warm_up(bench)
    assert second.id != first.id
    between = PairIndexCache(store).current()
    assert between.triaged_by == first
    assert np.array_equal(between.verdict, index.verdict)
    assert workspace_status(store, index=between).step == "score"
    score_model(bench, second)
    after = PairIndexCache(store).current()
    assert after.triaged_by == second
    assert workspace_status(store, index=after).step == "propose"


def test_distances_of_the_models_encoder_are_preferred_and_the_plans_before_them(bench):
    store = bench.store
    model = train_warm_up(bench)
    score_model(bench, model)
    known = store.pairs.distances(bench.encoder.fingerprint)
    store.pairs.save_distances("another", {**dict.fromkeys(known, 1.75)})
    cache = PairIndexCache(store)
    assert by_id(cache.current(), cache.current().distance) == pytest.approx(known, abs=1e-6)
    make_plan(bench, model)
    index = cache.current()
    assert by_id(index, index.distance) == pytest.approx(known, abs=1e-6)
    store.models.add(replace(model, id="of another encoder", settings={}))
    assert by_id(cache.current(), cache.current().distance) == pytest.approx(known, abs=1e-6)


def test_where_nothing_changed_it_is_the_very_same_object(bench):
    cache = PairIndexCache(bench.store)
    index = cache.current()
    assert cache.current() is index
    bench.store.pair_sets.remove("none")
    assert cache.current() is index


def test_positions_are_those_of_the_ids_in_the_order_asked_for(bench):
    index = PairIndexCache(bench.store).current()
    ids = [pair_id.decode() for pair_id in index.ids]
    asked = [ids[5], "unknown", ids[0], "ключ", ids[31], ids[3] + "0", ""]
    assert index.positions(asked).tolist() == [5, 0, 31]
    assert index.positions([]).tolist() == []


def test_decisions_are_followed_and_indexes_handed_out_stay_as_they_were(bench):
    store = bench.store
    cache = PairIndexCache(store)
    first = cache.current()
    a, b, c = (pair_id.decode() for pair_id in first.ids[:3])
    decide(store, "pair", a, "flip")
    decide(store, "pair", b, "drop")
    decide(store, "pair", b, "label_right", by="bob")
    decide(store, "pair", c, "skip")
    second = cache.current()
    decide(store, "pair", a, "undo")
    decide(store, "pair", c, "ambiguous")
    third = cache.current()

    def decisions(index: PairIndex) -> list[str]:
        return [DECISION_CODES[code] for code in index.decision[:3]]

    assert decisions(first) == ["", "", ""]
    assert decisions(second) == ["flip", "disputed", ""]
    assert decisions(third) == ["", "disputed", "ambiguous"]
    assert len({first.revision, second.revision, third.revision}) == 3


def test_proposals_states_are_followed_also_of_proposals_that_come_later(bench):
    store = bench.store
    proposed(bench)
    cache = PairIndexCache(store)
    before = cache.current()
    proposals = store.proposals.proposals()
    one, two, three, four, five = proposals[:5]
    decide(store, "proposal", one.id, "accept")
    decide(store, "proposal", two.id, "edit", edited_chosen=two.chosen)
    decide(store, "proposal", two.id, "accept", by="bob")
    decide(store, "proposal", three.id, "edit", edited_chosen="something else")
    decide(store, "proposal", three.id, "accept", by="bob")
    decide(store, "proposal", four.id, "reject")
    decide(store, "proposal", five.id, "flag")
    late = replace(one, id="f" * 24, variant=99)
    decide(store, "proposal", late.id, "reject")
    assert cache.current().rejected.sum() == 1
    store.proposals.add_proposals("more", {}, [late], [])
    after = cache.current()
    states = proposal_states([*proposals, late], store.reviews.events("proposal"))
    for status, column in (("accepted", after.accepted), ("rejected", after.rejected), ("pending", after.pending)):
        counted = dict.fromkeys(by_id(after, column), 0)
        for proposal in (*proposals, late):
            counted[proposal.source_id] += states[proposal.id].status == status
        assert by_id(after, column) == counted
    assert after.accepted.sum() == 2
    assert after.rejected.sum() == 2
    assert before.pending.sum() == len(proposals)


def test_an_index_that_grew_is_the_same_as_one_read_anew(bench):
    cache = PairIndexCache(bench.store)
    cache.current()
    first = bench.store.pairs.pairs("train")[0]
    decide(bench.store, "pair", first.id, "flip")
    cache.current()
    run_rounds(bench, 1, policy="accept-all")
    cache.current()
    add_pairs(bench, make_pairs(5, seed=7, first=5000), "train", name="more")
    assert len(cache.current()) == 37
    proposed(bench)
    assert same(cache.current(), PairIndexCache(bench.store).current())
    assert cache.current().dataset_names == ("list", "list", "more")
    assert DECISION_CODES[cache.current().decision[0]] == "flip"


def test_after_a_review_only_what_it_touches_is_read(bench, monkeypatch):
    store = bench.store
    proposed(bench)
    cache = PairIndexCache(store)
    cache.current()
    asked = []
    real = type(store.reviews).events

    def events(self, kind, ids=None):
        asked.append((kind, ids))
        return real(self, kind, ids)

    monkeypatch.setattr(type(store.reviews), "events", events)
    for name in ("pairs", "margins", "triage", "plan_rows", "distances", "proposals"):
        monkeypatch.setattr(type(store.browse), name, None)
    pair_id = store.pairs.pairs("train")[3].id
    store.reviews.append([ReviewEvent("pair", pair_id, "drop", "ann", 1, NOON)])
    assert DECISION_CODES[cache.current().decision[3]] == "drop"
    assert asked == [("pair", [pair_id])]


def test_a_reading_that_failed_is_done_again(bench, monkeypatch):
    cache = PairIndexCache(bench.store)
    cache.current()
    proposed(bench)
    with monkeypatch.context() as broken:
        broken.setattr(type(bench.store.browse), "plan_rows", None)
        with pytest.raises(TypeError):
            cache.current()
    assert same(cache.current(), PairIndexCache(bench.store).current())


@pytest.mark.slow
def test_threads_share_one_reading(tmp_path):
    bench = make_bench(CONFIG, url=f"sqlite:///{tmp_path / 'mars.db'}")
    add_pairs(bench, make_pairs(50), "train")
    cache = PairIndexCache(bench.store)
    ids = [pair.id for pair in bench.store.pairs.pairs("train")]
    seen: list[PairIndex] = []
    stop = time.monotonic() + 0.5

    def read() -> None:
        while time.monotonic() < stop:
            seen.append(cache.current())

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number, pair_id in enumerate(ids, start=1):
        decide(bench.store, "pair", pair_id, "drop")
        assert int((cache.current().decision > 0).sum()) == number
    for reader in readers:
        reader.join()
    assert len({id(index) for index in seen}) <= len(ids) + 1
    bench.store.close()


@pytest.mark.slow
@pytest.mark.parametrize("actions", [
    (), ("accept",), ("accept", "accept"), ("accept", "reject"), ("accept", "accept_chosen"), ("reject", "reject"),
    ("flag",), ("flag", "reject"), ("edit",), ("undo",), ("skip",), ("accept_rejected", "accept_rejected"),
])  # fmt: skip
def test_the_status_that_events_alone_tell_is_that_of_the_proposal(actions, bench):
    proposed(bench)
    proposal = bench.store.proposals.proposals()[0]
    events = [
        ReviewEvent("proposal", proposal.id, action, name, 1, NOON)
        for name, action in zip(("ann", "bob"), actions, strict=False)
    ]
    assert plain_status(events) == proposal_state(proposal, events).status
