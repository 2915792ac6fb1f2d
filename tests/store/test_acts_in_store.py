"""Acts, marks and columns of the store: what the deck reads and writes."""

import threading
from datetime import UTC, datetime

import pytest
from fakes import make_pairs

from mars_engine.core.errors import StoreError
from mars_engine.core.records import DatasetRecord, ModelRecord, Plan, Proposal
from mars_engine.core.review_records import RecordedAct, ReviewEvent, ReviewMark, StandingAct
from mars_engine.store import Store, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(shared_url: str):
    opened = open_store(shared_url)
    yield opened
    opened.close()


def act(action: str, sequence: int, *items: str, annotator: str = "ada", seconds: float = 1.0, note: str = ""):
    return [
        ReviewEvent("pair", item, action, annotator, sequence, NOON, note=note, seconds=seconds)
        for item in items or ("",)
    ]


def append(store: Store, *acts, annotator: str = "ada") -> list[RecordedAct]:
    return store.reviews.append_acts("pair", annotator, acts)


def test_acts_are_stored_undone_and_recognised(store):
    first = [act("drop", 1, "a"), act("flip", 5, "c", "b"), act("undo", 7), act("skip", 9, "a")]
    assert append(store, *first) == [
        RecordedAct(1, "stored", ("a",)),
        RecordedAct(5, "stored", ("c", "b")),
        RecordedAct(7, "stored", ("c", "b")),
        RecordedAct(9, "stored", ("a",)),
    ]
    assert [each.outcome for each in append(store, *first)] == ["present"] * 4
    assert append(store, act("flip", 5, "b", "c"), act("flip", 5, "b"), act("drop", 5, "b", "c"), act("undo", 1)) == [
        RecordedAct(5, "present", ("c", "b")),
        *[RecordedAct(5, "number_taken", ("c", "b"))] * 2,
        RecordedAct(1, "number_taken", ("a",)),
    ]
    assert store.reviews.standing_acts("pair", "ada", newest=5) == [StandingAct(9, ("a",)), StandingAct(1, ("a",))]
    assert store.reviews.standing_acts("pair", "ada", newest=1) == [StandingAct(9, ("a",))]
    assert store.reviews.standing_acts("proposal", "ada", newest=5) == []
    assert append(store, act("undo", 3, annotator="bob"), annotator="bob") == [RecordedAct(3, "nothing_to_undo")]


def test_nothing_of_a_log_is_stored_where_one_act_cannot_be(store):
    broken = act("drop", 2, "a")
    broken[0] = ReviewEvent("pair", "a", "drop", "ada", 2, NOON, note="\ud800")
    with pytest.raises(StoreError, match="refused"):
        append(store, act("drop", 1, "a"), broken)
    assert store.reviews.events("pair") == {}
    assert store.browse.revisions().get("reviews", 0) == 0


def test_only_what_is_new_counts_as_a_change(store):
    append(store, act("drop", 1, "a"))
    append(store, act("drop", 1, "a"))
    assert store.browse.revisions()["reviews"] == 1


def test_marks_are_read_on_from_a_row(store):
    append(store, act("drop", 4, "a", "b"))
    append(store, act("undo", 6))
    marks = store.reviews.marks("pair")
    assert marks == [
        ReviewMark(1, "a", "drop", "ada", 4),
        ReviewMark(2, "b", "drop", "ada", 4),
        ReviewMark(3, "a", "undo", "ada", 6),
        ReviewMark(4, "b", "undo", "ada", 6),
    ]
    assert store.reviews.marks("pair", after=2) == marks[2:]
    assert store.reviews.marks("pair", after=4) == store.reviews.marks("proposal") == []


def test_the_last_sequence_is_over_all_kinds_and_of_one_annotator(store):
    assert store.reviews.last_sequence("ada") == 0
    append(store, act("drop", 40, "a"), act("drop", 70, "b"))
    store.reviews.append([ReviewEvent("proposal", "p", "accept", "ada", 60, NOON)])
    append(store, act("drop", 99, "a", annotator="bob"), annotator="bob")
    assert store.reviews.last_sequence("ada") == 70


def test_recent_seconds_are_those_of_single_decisions_that_stand_the_newest_first(store):
    append(store, *[act("drop", number, f"p{number}", seconds=number) for number in range(1, 6)])
    append(store, act("skip", 6, "p9", seconds=100), act("undo", 7), act("undo", 8))
    assert store.reviews.recent_seconds("pair", "ada", newest=3) == [4, 3, 2]
    assert store.reviews.recent_seconds("pair", "ada", newest=9) == [4, 3, 2, 1]
    assert store.reviews.recent_seconds("proposal", "ada", newest=3) == []


def test_an_act_on_many_items_says_nothing_of_how_long_one_takes(store):
    append(store, *[act("drop", number, f"p{number}", seconds=1.9) for number in range(1, 9)])
    many = [f"p{number}" for number in range(5, 29)]
    append(store, act("flip", 9, *many, seconds=0.1))
    assert store.reviews.recent_seconds("pair", "ada", newest=30) == [1.9] * 8
    append(store, act("undo", 10))
    assert store.reviews.recent_seconds("pair", "ada", newest=30) == [1.9] * 8
    append(store, act("undo", 11))
    assert store.reviews.recent_seconds("pair", "ada", newest=30) == [1.9] * 7


def test_windows_of_one_annotator_that_undo_at_once_take_back_different_acts(store):
    append(store, *[act("drop", number, f"p{number}") for number in range(1, 21)])
    outcomes: list[RecordedAct] = []

    def undo(window: int) -> None:
        for number in range(5):
            outcomes.extend(append(store, act("undo", 100 + 10 * window + number)))

    threads = [threading.Thread(target=undo, args=(window,)) for window in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(item for each in outcomes for item in each.items) == sorted(f"p{number}" for number in range(6, 21))
    assert [each.sequence for each in store.reviews.standing_acts("pair", "ada", newest=99)] == [5, 4, 3, 2, 1]


# ----------------------------------------------------------------------------------------------------------- proposals


def a_proposal(number: int, source_id: str, oriented_id: str) -> Proposal:
    return Proposal(
        id=f"p{number}",
        source_id=source_id,
        oriented_id=oriented_id,
        plan_id="plan",
        model_id="model",
        settings_id="settings",
        method="paraphrase",
        variant=number,
        prompt=(),
        chosen=f"good {number}",
        rejected=f"bad {number}",
        unchanged_sides=(),
        generators={},
        seed=0,
        distance_before=0.25,
        distance_after=0.5,
        margin_before=-1.5,
        margin_after=1.0,
        information_gain=0.125,
        flags=(),
    )


def test_the_columns_of_proposals(store):
    assert len(store.proposals.facts().ids) == 0
    assert store.proposals.count_by_source() == {}
    first, second = make_pairs(2)
    store.pairs.add_dataset(DatasetRecord("d", "d", "d", "trl", "train", "h", NOON, 2), [(1, first), (2, second)])
    store.models.add(ModelRecord("model", "probe", "m", {}, {}, "", "", 0, NOON))
    store.proposals.add_plan(Plan("plan", "model", 1, "signed", 1, {}, {}, NOON), [])
    proposals = [a_proposal(1, first.id, first.id), a_proposal(2, second.id, "x"), a_proposal(3, first.id, "y")]
    store.proposals.add_proposals("settings", {}, proposals, [])
    facts = store.proposals.facts()
    rows = {
        key.decode(): row
        for key, *row in zip(
            facts.ids.tolist(), facts.source_ids.tolist(), facts.flipped.tolist(), facts.variant.tolist(), strict=True
        )
    }
    assert rows == {
        "p1": [first.id.encode(), False, 1],
        "p2": [second.id.encode(), True, 2],
        "p3": [first.id.encode(), True, 3],
    }
    assert (facts.margin_before == -1.5).all()
    assert (facts.distance_before == 0.25).all()
    assert (facts.distance_after == 0.5).all()
    assert (facts.information_gain == 0.125).all()
    assert store.proposals.facts([second.id, "unknown"]).ids.tolist() == [b"p2"]
    assert len(store.proposals.facts([]).ids) == 0
    assert store.proposals.count_by_source() == {first.id: 2, second.id: 1}
    assert store.proposals.present(["p1", "p9"]) == {"p1"}
    assert store.proposals.answers(["p3", "p9"]) == {"p3": ("good 3", "bad 3")}
