"""The deck: who is dealt what, in which order; and a log of decisions that is stored once, whatever is sent."""

import json
import random
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from fakes import ListSource, MemoryShelf, TickingClock, copy_database, make_bench, make_pairs, record_review
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.augment.compose import build_grid, usable_cells
from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig, ProposeConfig, TriageConfig
from mars_engine.core.errors import MarsError
from mars_engine.core.records import Pair, PairSet, Turn
from mars_engine.core.review_state import label_decisions, proposal_states
from mars_engine.curate import deck
from mars_engine.curate.decision_log import take_log
from mars_engine.curate.deck import as_json, deal
from mars_engine.curate.deck_cache import DeckCache
from mars_engine.curate.gain_order import GainOrder
from mars_engine.curate.reading import UNREAD, Reading
from mars_engine.curate.review import review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import VERDICT_CODES, PairIndex, PairIndexCache
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.store.database import Database

CONFIG = MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3), propose=ProposeConfig(variants=3))


def import_into(bench: Workbench, pairs, split, name: str) -> None:
    source = ListSource(tuple(pairs), name=name)
    import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)


def propose_for(bench: Workbench) -> None:
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)


def fill(bench: Workbench, pairs: int, proposals: bool) -> None:
    if pairs:
        import_into(bench, make_pairs(pairs), "train", "list")
        import_into(bench, make_pairs(4, seed=1, first=1000), "heldout", "other")
    if proposals:
        propose_for(bench)


@cache
def workspace(pairs: int, proposals: bool) -> Workbench:
    """A workspace to copy: making one takes most of a second."""
    bench = make_bench(CONFIG)
    fill(bench, pairs, proposals)
    return bench


@cache
def emptied() -> Workbench:
    """The one workbench in memory, whose content every test overwrites with its own."""
    return make_bench(CONFIG)


READING = {"order", "source", "overlap_percent", "read_only"}


class Table:
    """A workspace with pairs and proposals, and people who read at it."""

    def __init__(self, *, pairs: int = 16, proposals: bool = True, url: str = "sqlite://") -> None:
        if url == "sqlite://":
            made = workspace(pairs, proposals)
            copy_database(made.store, emptied().store)
            shelf = MemoryShelf(dict(made.shelf.models))
            self.bench: Workbench = replace(emptied(), clock=TickingClock(), shelf=shelf)
        else:
            self.bench = make_bench(CONFIG, url=url)
            fill(self.bench, pairs, proposals)
        self.store = self.bench.store
        self.indices = PairIndexCache(self.store)
        self.cache = DeckCache(self.store)
        self.sequence = 0

    def add_pairs(self, pairs, name: str) -> None:
        import_into(self.bench, pairs, "train", name)

    def propose(self) -> None:
        propose_for(self.bench)

    def deal(self, annotator: str = "ada", *, kind="proposal", index: PairIndex | None = None, **options):
        asked = {name: options.pop(name) for name in READING & options.keys()}
        cache = options.pop("cache", self.cache) or DeckCache(self.store)
        config = options.pop("config", CONFIG)
        options = {"limit_cards": 1000, "clock": self.bench.clock} | options
        return deal(cache, index or self.indices.current(), config, Reading(kind, annotator, **asked), **options)

    def ids(self, annotator: str = "ada", **options) -> list[str]:
        return [card.id for card in self.deal(annotator, **options).cards]

    def act(self, action: str, *items: str, annotator: str = "ada", kind: str = "proposal", **fields):
        self.sequence += 1
        return {
            "sequence": self.sequence,
            "annotator": annotator,
            "kind": kind,
            "items": list(items),
            "action": action,
            "chosen": None,
            "rejected": None,
            "prompt": None,
            "note": "",
            "seconds": 2.0,
            "presented": "open",
        } | fields

    def take(self, *acts, annotator: str = "ada", kind: str = "proposal"):
        return take_log(self.store, kind=kind, annotator=annotator, acts=list(acts), clock=self.bench.clock)

    def do(self, action: str, *items: str, annotator: str = "ada", kind: str = "proposal", **fields) -> None:
        act = self.act(action, *items, annotator=annotator, kind=kind, **fields)
        outcome = self.take(act, annotator=annotator, kind=kind)
        assert (outcome.acknowledged, outcome.refused) == ((act["sequence"],), ())

    def states(self):
        return proposal_states(self.store.proposals.proposals(), self.store.reviews.events("proposal"))

    def labels(self):
        return label_decisions(self.store.pairs.pairs("train"), self.store.reviews.events("pair"))

    def events(self, kind="proposal"):
        return [event for events in self.store.reviews.events(kind).values() for event in events]


@pytest.fixture
def table() -> Table:
    return Table()


# -------------------------------------------------------------------------------------------------------------- order


def test_check_deals_suspects_by_out_of_fold_margin_and_then_the_lowest_margins():
    table = Table(pairs=6, proposals=False)
    index = table.indices.current()
    suspected = VERDICT_CODES.index("suspected")
    columns = {
        "verdict": np.array([0, suspected, 0, suspected, 0, 0] + [suspected] * 4, dtype=np.int16),
        "margin": np.array([2.0, -9.0, -1.0, 5.0, np.nan, 0.5] + [-99.0] * 4, dtype=np.float32),
        "out_of_fold_margin": np.array([-7.0, -1.0, -7.0, -2.0, -7.0, -7.0] + [-99.0] * 4, dtype=np.float32),
    }
    train = [pair.id for pair in table.store.pairs.pairs("train")]
    dealt = table.deal(kind="pair", index=replace(index, **columns))
    assert [card.id for card in dealt.cards] == [train[place] for place in (3, 1, 2, 5, 0, 4)]
    assert dealt.cards[0].why == (
        "Suspected mislabel: models that never saw it give it −2.00, the 5th lowest of 6 training pairs; "
        "score margin +5.00, the 5th lowest of 5 training pairs."
    )
    assert dealt.cards[2].why == "Score margin −1.00, the 2nd lowest of 5 training pairs."
    assert dealt.cards[-1].why == "No model has scored it yet."
    by_margin = table.ids(kind="pair", order="margin", index=replace(index, **columns))
    assert by_margin == [train[place] for place in (1, 2, 5, 0, 3, 4)]


def test_review_deals_in_the_order_that_is_asked_for(table):
    proposals = {each.id: each for each in table.store.proposals.proposals()}
    budgets = {row.pair_id: row.budget for row in table.store.proposals.plan_rows(table.indices.current().plan.id)}
    as_planned = [proposals[each] for each in table.ids()]
    assert len(as_planned) == len(proposals) > 40
    assert [budgets[each.source_id] for each in as_planned] == sorted(
        (budgets[each.source_id] for each in as_planned), reverse=True
    )
    places = [each.source_id for each in as_planned]
    assert all(
        places[places.index(source) : places.index(source) + count] == [source] * count
        for source, count in Counter(places).items()
    )
    by_margin = [proposals[each].margin_before for each in table.ids(order="margin")]
    assert by_margin == sorted(by_margin)
    gains = [proposals[each].information_gain for each in table.ids(order="gain")]
    assert gains == pytest.approx(sorted(gains, reverse=True), abs=1e-6)
    changes = [proposals[each].distance_after - proposals[each].distance_before for each in table.ids(order="distance")]
    assert changes == pytest.approx(sorted(changes), abs=1e-6)


def a_gain_order(ids: list[str]) -> GainOrder:
    gains = np.linspace(1.0, 0.1, len(ids), dtype=np.float32)
    return GainOrder("stamp", np.array(ids, dtype="S24"), gains, len(ids), len(ids), (), 0.0)


def test_by_gain_what_was_ranked_comes_as_ranked_and_the_rest_by_what_each_adds_alone(table):
    alone = table.ids(order="gain")
    ranked = [alone[9], alone[2], "f" * 24, alone[20]]
    table.bench.clock.now += timedelta(days=1)
    dealt = table.deal(order="gain", gains=a_gain_order(ranked), read_only=True)
    first = [alone[9], alone[2], alone[20]]
    assert [card.id for card in dealt.cards] == [*first, *(each for each in alone if each not in first)]
    assert dealt.gains == pytest.approx({alone[9]: 1.0, alone[2]: 0.7, alone[20]: 0.1})
    again = table.deal(order="gain", gains=a_gain_order(ranked[::-1]), read_only=True)
    assert [card.id for card in again.cards][:3] == first[::-1]
    assert [card.id for card in table.deal(gains=a_gain_order(ranked), read_only=True).cards] == table.ids(
        read_only=True
    ), "another order does not ask for it"
    table.do("accept", alone[9])
    assert table.ids(order="gain", gains=a_gain_order(ranked), read_only=True)[:2] == first[1:]


def test_a_random_order_is_an_annotators_own_and_stays(table):
    table.bench.clock.now += timedelta(days=1)
    first = table.ids("ada", order="random", read_only=True)
    assert table.ids("ada", order="random", read_only=True, cache=None) == first
    other = table.ids("bob", order="random", read_only=True)
    assert other != first
    assert set(other) == set(first) == set(table.ids(read_only=True))


def test_what_was_skipped_comes_last_the_one_skipped_first_first(table):
    order = table.ids()
    table.do("skip", order[3])
    table.do("skip", order[0])
    dealt = table.deal()
    assert [card.id for card in dealt.cards] == [*order[1:3], *order[4:], order[3], order[0]]
    assert [card.id for card in dealt.cards if card.skipped] == [order[3], order[0]]
    table.do("undo")
    assert table.ids() == [*order[:3], *order[4:], order[3]]
    table.do("accept", order[3])
    assert table.ids() == [*order[:3], *order[4:]]


def test_unknown_orders_shares_and_names_are_refused(table):
    for options in ({"order": "gain", "kind": "pair"}, {"order": "x"}, {"overlap_percent": 101}):
        with pytest.raises(MarsError):
            table.deal(**options)
    for name in ("", "  ", "policy:gates", "adjudicator:ada", "a\nb", "a" * 101):
        with pytest.raises(MarsError, match="no annotator's name"):
            table.deal(name)
        with pytest.raises(MarsError, match="no annotator's name"):
            table.take(annotator=name)


# ---------------------------------------------------------------------------------------------------- what is dealt


def test_nothing_to_deal_is_an_empty_deal():
    table = Table(pairs=0, proposals=False)
    for kind in ("pair", "proposal"):
        dealt = table.deal(kind=kind)
        assert (dealt.cards, dealt.recent, dealt.last_sequence, dealt.progress.total) == ((), (), 0, 0)


def test_what_somebody_decided_is_not_dealt_until_it_is_taken_back(table):
    order = table.ids("bob")
    table.do("reject", order[0])
    assert table.ids("bob") == order[1:]
    table.do("undo")
    assert table.ids("bob") == order


def test_held_out_pairs_are_not_checked():
    table = Table(pairs=5, proposals=False)
    assert set(table.ids(kind="pair")) == {pair.id for pair in table.store.pairs.pairs("train")}


@pytest.mark.parametrize(
    ("action", "stays"), [("drop", False), ("ambiguous", False), ("flip", False), ("label_right", True)]
)
def test_proposals_of_a_source_that_changed_since_are_not_dealt(table, action, stays):
    (first, *_), before = table.deal().cards, table.ids()
    of_source = {each.id for each in table.store.proposals.proposals(source_ids=[first.source_id])}
    table.do(action, first.source_id, kind="pair")
    assert table.ids() == [each for each in before if stays or each not in of_source]
    table.do("undo", kind="pair")
    assert table.ids() == before


def test_proposals_for_a_flipped_pair_are_dealt_with_its_sides_exchanged(table):
    pair = table.store.pairs.by_id([table.deal().cards[0].source_id])
    (source,) = pair.values()
    table.do("flip", source.id, kind="pair")
    make_proposals(table.bench, make_plan(table.bench, table.store.models.latest()).plan)
    cards = [card for card in table.deal().cards if card.source_id == source.id]
    assert cards
    assert all((card.source.chosen, card.source.rejected) == (source.rejected, source.chosen) for card in cards)


def test_only_the_pairs_in_question_are_dealt(table):
    table.bench.clock.now += timedelta(days=1)
    sources = list(dict.fromkeys(card.source_id for card in table.deal().cards))[:3]
    wanted = [card.id for card in table.deal().cards if card.source_id in sources]
    assert table.ids(source=[*sources, "0" * 24]) == wanted
    table.store.pair_sets.add(PairSet("s", "mine", "ada", table.bench.clock(), 3), sources)
    assert table.ids(source="s") == wanted
    assert table.ids(source="unknown") == []
    table.do("accept", wanted[0])
    progress = table.deal(source="s").progress
    assert (progress.decided, progress.waiting, progress.total) == (1, len(wanted) - 1, len(wanted))
    assert table.ids(kind="pair", source=sources[:1]) == sources[:1]


def test_what_only_a_policy_decided_is_dealt_where_pairs_are_asked_for(table):
    cards = table.deal().cards
    review_by_policy(table.store, "accept-all", clock=table.bench.clock)
    assert table.ids() == []
    assert table.ids(source=UNREAD) == [card.id for card in cards]
    of_source = [card.id for card in cards if card.source_id == cards[0].source_id]
    dealt = table.deal(source=[cards[0].source_id])
    assert [card.id for card in dealt.cards] == of_source
    assert {card.status for card in dealt.cards} == {"pending"}
    table.do("reject", of_source[0])
    assert table.states()[of_source[0]].status == "rejected"
    assert table.ids(source=[cards[0].source_id]) == of_source[1:]


def test_overlapping_items_wait_for_two_people_and_the_first_answer_stays_hidden(table):
    order = table.ids()
    for name in ("ada", "bob"):
        for item in order:
            table.do("reject" if name == "ada" else "accept", item, annotator=name, note=f"secret of {name}")
        left = table.deal("bob" if name == "ada" else "eve", overlap_percent=100)
        assert [card.id for card in left.cards] == (order if name == "ada" else [])
        assert "secret of ada" not in json.dumps(as_json(left))
        assert all(card.status == "pending" for card in left.cards)
    assert {act.card.status for act in table.deal("bob").recent} == {"disputed"}


def test_a_share_of_the_items_overlaps_and_it_is_always_the_same(table):
    everything = table.ids()
    for item in everything:
        table.do("reject", item)
    half = table.ids("bob", overlap_percent=50)
    assert 0.2 * len(everything) < len(half) < 0.8 * len(everything)
    assert table.ids("eve", overlap_percent=50, read_only=True, cache=None) == half
    assert set(table.ids("bob", overlap_percent=20)) < set(half)
    assert table.ids("bob") == []


def test_the_sides_of_an_item_are_swapped_for_an_annotator_once_and_for_all(table):
    sides = {card.id: card.swapped for card in table.deal("ada", read_only=True).cards}
    assert {
        card.id: card.swapped for card in table.deal("ada", read_only=True, cache=None, order="gain").cards
    } == sides
    other = {card.id: card.swapped for card in table.deal("bob", read_only=True).cards}
    assert 0 < sum(sides.values()) < len(sides)
    assert other != sides


def test_cards_are_as_many_as_may_be_sent_at_once_and_always_one():
    table = Table(pairs=0, proposals=False)
    huge = [Pair.of([Turn("user", str(number))], "x" * 400_000, "y" * 300_000) for number in range(6)]
    table.add_pairs(tuple(huge), name="huge")
    assert table.ids(kind="pair") == [pair.id for pair in huge[:2]]
    endless = Pair.of([Turn("user", "z")], "x" * 2_000_000, "y")
    table.add_pairs((endless,), name="endless")
    assert table.ids(kind="pair", source=[endless.id]) == [endless.id]


def test_a_deal_is_plain_json_with_texts_as_they_are(table):
    hostile = Pair.of([Turn("user", "<script>alert(1)</script>\n\n$$ :smile:")], "![](http://x)", "**b**  \t c\u2028")
    table.add_pairs((hostile,), name="hostile")
    (card,) = json.loads(json.dumps(as_json(table.deal(kind="pair", source=[hostile.id]))))["cards"]
    assert (card["prompt"], card["chosen"], card["rejected"]) == (
        [{"role": "user", "content": hostile.prompt[0].content}],
        hostile.chosen,
        hostile.rejected,
    )
    assert card["dataset"] == "hostile"
    proposal = as_json(table.deal())["cards"][0]
    assert {gate["passed"] for gate in proposal["gates"]} <= {True, False}
    assert "decision" not in proposal
    assert proposal["generators"][0].startswith(("suffix (stand-in)", "replacing (stand-in)"))


# ------------------------------------------------------------------------------------------------------------- leases


def test_two_people_are_dealt_different_items_until_a_lease_ends(table):
    first, second = table.ids("ada", limit_cards=5), table.ids("bob", limit_cards=5)
    assert not set(first) & set(second)
    assert table.ids("ada", limit_cards=5) == first
    table.bench.clock.now += timedelta(minutes=9)
    table.ids("ada", limit_cards=5)
    table.bench.clock.now += timedelta(minutes=2)  # bob's have ended, ada's were renewed
    assert table.ids("eve", limit_cards=5) == second


def test_another_order_gives_back_what_would_not_be_read_soon(table):
    planned = table.ids("ada", limit_cards=5)
    by_gain = table.ids("ada", limit_cards=5, order="gain")
    free = set(table.ids("bob", limit_cards=1000))
    assert set(planned) - set(by_gain) <= free
    assert not set(by_gain) & free


def test_decided_and_skipped_items_are_free_at_once(table):
    first = table.ids("ada", limit_cards=3)
    table.do("skip", first[0])
    table.do("accept", first[1])
    held = {lease.item_id for lease in table.store.leases.standing("proposal", now=table.bench.clock())}
    assert held == {first[2]}
    assert table.ids("bob", limit_cards=1) == [first[0]]


def test_what_others_decide_while_a_hand_is_dealt_is_not_in_it(table, monkeypatch):
    """However often: each look at what is open is followed by a decision that ends a lease."""
    look = table.cache.outlook
    held = table.ids("bob", limit_cards=20)
    decided: list[str] = []

    def look_and_be_late(*arguments, **options):
        outlook = look(*arguments, **options)
        decided.append(held[len(decided)])
        table.do("accept", decided[-1], annotator="bob")
        return outlook

    monkeypatch.setattr(table.cache, "outlook", look_and_be_late)
    dealt = table.ids("ada", limit_cards=10)
    assert len(dealt) == 10
    assert decided
    assert not set(dealt) & set(decided)


def test_nothing_is_leased_where_the_deck_is_only_looked_at(table):
    shown = table.ids("", read_only=True, limit_cards=5)
    assert table.store.leases.standing("proposal", now=table.bench.clock()) == []
    assert table.ids("ada", limit_cards=5) == shown


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [0, 100])
def test_five_people_at_once_decide_every_item_as_often_as_is_asked(tmp_path, overlap):
    table = Table(pairs=7, url=f"sqlite:///{tmp_path / 'mars.db'}")
    names = ["ada", "bob", "cyd", "dan", "eve"]
    problems: list[str] = []

    def read(name: str) -> None:
        sequence = 0
        try:
            while cards := table.deal(name, limit_cards=3, overlap_percent=overlap).cards:
                sequence += 1
                act = table.act("accept", cards[0].id, annotator=name, sequence=sequence)
                assert table.take(act, annotator=name).refused == ()
        except Exception as error:  # noqa: BLE001 (reported below, in the test's own thread)
            problems.append(repr(error))

    threads = [threading.Thread(target=read, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert problems == []
    everybody = 2 if overlap else 1
    # Whoever was last to look may have found the rest leased to others, who go on; in the end nothing is left.
    for name in names:
        read(name)
    decided = Counter(event.item_id for event in table.events())
    assert set(decided) == {each.id for each in table.store.proposals.proposals()}
    assert set(decided.values()) == {everybody}
    table.store.close()


# ---------------------------------------------------------------------------------------------------------------- log


def test_a_log_is_stored_in_order_of_its_sequences_and_acknowledged(table):
    first, second, third = table.ids()[:3]
    acts = [table.act("accept", first, note="good", presented="blind"), table.act("flag", second, third, seconds=9)]
    outcome = table.take(*reversed(acts))
    assert outcome.acknowledged == (1, 2)
    assert set(outcome.items) == {first, second, third}
    stored = {event.item_id: event for event in table.events()}
    assert (stored[first].note, stored[first].presented, stored[first].seconds) == ("good", "blind", 2.0)
    assert [stored[each].seconds for each in (second, third)] == [4.5, 4.5]
    assert table.deal().last_sequence == 2


def test_a_log_sent_again_is_acknowledged_again_and_stored_once(table):
    items = table.ids()
    acts = [
        table.act("accept", items[0]),
        table.act("reject", *items[1:4]),
        table.act("undo"),
        table.act("skip", items[5]),
    ]
    first = table.take(*acts)
    stored = table.events()
    assert table.take(*acts) == table.take(*acts, acts[0]) == first
    assert table.take(*acts, table.act("flag", items[6])).acknowledged == (1, 2, 3, 4, 5)
    assert len(table.events()) == len(stored) + 1
    assert table.states()[items[1]].status == "pending"


def test_a_number_that_another_window_used_is_refused(table):
    first, second = table.ids()[:2]
    table.take(table.act("accept", first))
    for act in ("accept", second), ("reject", first), ("undo",):
        outcome = table.take(table.act(*act, sequence=1))
        assert (outcome.acknowledged, [each.sequence for each in outcome.refused]) == ((), [1])
        assert "another window" in outcome.refused[0].reason
    assert table.states()[first].status == "accepted"


FIELDS = [
    "sequence",
    "annotator",
    "kind",
    "items",
    "action",
    "chosen",
    "rejected",
    "prompt",
    "note",
    "seconds",
    "presented",
]
LONG = "x" * 1_000_001


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"annotator": "bob"}, "another name"),
        ({"annotator": None}, "another name"),
        ({"kind": "pair"}, "not about a proposal"),
        ({"action": "flip"}, "no such action"),
        ({"action": "explode"}, "no such action"),
        ({"action": ["accept"]}, "no such action"),
        ({"items": ["0" * 24]}, "its item is gone"),
        ({"items": []}, "names no item"),
        ({"items": "abc"}, "no list of ids"),
        ({"items": [1]}, "no list of ids"),
        ({"items": ["\ud800"]}, "no list of ids"),
        ({"items": ["a" * 101]}, "no list of ids"),
        ({"items": [f"{n}" for n in range(5001)]}, "more than 5,000 items"),
        ({"action": "undo"}, "names no items"),
        ({"chosen": "other"}, "only an edit"),
        ({"action": "edit", "chosen": "  \n"}, "edited chosen answer is empty"),
        ({"action": "edit", "rejected": ""}, "edited rejected answer is empty"),
        ({"action": "edit", "prompt": " "}, "edited prompt is empty"),
        ({"action": "edit", "chosen": "same", "rejected": " SAME "}, "two answers are the same"),
        ({"action": "edit", "chosen": LONG}, "more than 1,000,000"),
        ({"action": "edit", "chosen": 3}, "chosen is no text"),
        ({"action": "edit", "chosen": "half \ud83d"}, "cannot be stored"),
        ({"action": "edit", "prompt": "nul \0"}, "cannot be stored"),
        ({"note": LONG}, "more than 1,000,000"),
        ({"note": {}}, "note is no text"),
        ({"seconds": "fast"}, "no time"),
        ({"seconds": -1}, "no time"),
        ({"seconds": float("nan")}, "no time"),
        ({"seconds": True}, "no time"),
        ({"presented": "upside down"}, "how the item was shown"),
        ({"presented": []}, "how the item was shown"),
    ],
)
def test_an_act_that_can_never_be_stored_is_refused_with_its_reason_and_the_others_are_stored(table, fields, reason):
    first, second = table.ids()[:2]
    bad, good = table.act("accept", first) | fields, table.act("accept", second)
    outcome = table.take(bad, good)
    assert outcome.acknowledged == (2,)
    assert [each.sequence for each in outcome.refused] == [1]
    assert reason in outcome.refused[0].reason
    assert [event.item_id for event in table.events()] == [second]


def test_edits_of_two_items_at_once_are_refused(table):
    outcome = table.take(table.act("edit", *table.ids()[:2], chosen="new"))
    assert "about one item" in outcome.refused[0].reason


@pytest.mark.parametrize("log", [None, {}, "acts", 7])
def test_what_is_no_log_is_refused(table, log):
    outcome = take_log(table.store, kind="proposal", annotator="ada", acts=log, clock=table.bench.clock)
    assert [each.reason for each in outcome.refused] == ["the log is no list"]


@pytest.mark.parametrize("sequence", [None, "1", 0, -3, 1.5, True, 2**52, 10**30])
def test_what_has_no_number_is_refused(table, sequence):
    outcome = table.take(table.act("accept", table.ids()[0], sequence=sequence), "no act", None)
    assert [(each.sequence, "no sequence number" in each.reason) for each in outcome.refused] == [(None, True)] * 3
    assert table.events() == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(changes=st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=3), max_size=4), other=ANYTHING)
def test_whatever_is_sent_is_answered_act_by_act(changes, other):
    table = Table()
    items = [each.id for each in table.store.proposals.proposals()]
    acts = [table.act("accept", items[number]) | change for number, change in enumerate(changes)]
    outcome = table.take(*acts, table.act("flag", items[9], sequence=2**40), other)
    assert 2**40 in outcome.acknowledged
    answered = {*outcome.acknowledged, *(each.sequence for each in outcome.refused)}
    assert {act["sequence"] for act in acts if type(act["sequence"]) is int and 0 < act["sequence"] < 2**52} <= answered
    assert {event.sequence for event in table.events()} == set(outcome.acknowledged)


def test_an_edit_keeps_what_it_does_not_change_and_one_that_changes_nothing_is_an_accept(table):
    proposals = table.store.proposals.by_id(table.ids()[:3])
    first, second, third = proposals.values()
    table.do("edit", first.id, chosen="Better.", rejected=first.rejected, prompt=first.prompt[-1].content)
    table.do("edit", second.id, chosen=second.chosen)
    table.do("edit", third.id, prompt="Why?")
    actions = {event.item_id: event for event in table.events()}
    assert [actions[each].action for each in proposals] == ["edit", "accept", "edit"]
    assert (actions[first.id].edited_chosen, actions[first.id].edited_rejected) == ("Better.", None)
    states = table.states()
    assert (states[first.id].chosen, states[first.id].rejected) == ("Better.", first.rejected)
    assert states[third.id].prompt == (Turn("user", "Why?"),)


def test_an_edited_prompt_changes_the_last_turn_of_the_user_alone():
    table = Table(pairs=0, proposals=False)
    turns = [Turn("user", "one"), Turn("assistant", "two"), Turn("user", "three"), Turn("assistant", "four")]
    pairs = [Pair.of([*turns, Turn("tool", str(n))], f"good {n}", f"bad {n}") for n in range(12)]
    table.add_pairs(tuple(pairs), name="turns")
    table.propose()
    card = table.deal().cards[0]
    table.do("edit", card.id, prompt="THREE")
    edited = table.states()[card.id].prompt
    assert edited[:4] == (turns[0], turns[1], Turn("user", "THREE"), turns[3])
    assert table.deal().recent[0].decision.prompt == "THREE"


# --------------------------------------------------------------------------------------------------------------- undo


def test_an_undo_takes_back_a_whole_act_and_another_the_one_before(table):
    items = table.ids()
    table.do("accept", items[0])
    table.do("reject", *items[:6])
    table.do("undo")
    assert Counter(state.status for state in table.states().values())["rejected"] == 0
    assert table.states()[items[0]].status == "accepted"
    table.do("undo")
    assert {state.status for state in table.states().values()} == {"pending"}
    outcome = table.take(table.act("undo"))
    assert [each.reason for each in outcome.refused] == ["there is nothing left to take back"]
    assert table.ids() == items


def test_an_undo_takes_back_only_the_annotators_own_acts_of_that_kind(table):
    item, pair = table.ids()[0], table.ids(kind="pair")[0]
    table.do("accept", item)
    table.do("drop", pair, kind="pair")
    table.do("reject", item, annotator="bob")
    table.do("undo")
    assert table.states()[item].status == "rejected"
    assert table.labels() == {pair: "drop"}


def test_an_undo_behind_a_refused_act_of_the_same_log_takes_back_nothing_else(table):
    first, second = table.ids()[:2]
    table.do("accept", first)
    outcome = table.take(table.act("edit", second, chosen=" "), table.act("undo"), table.act("undo"))
    assert outcome.acknowledged == (4,)
    assert {each.sequence for each in outcome.refused} == {2, 3}
    assert table.states()[first].status == "pending"


def test_an_undo_that_comes_late_takes_back_what_was_before_it(table):
    first, second = table.ids()[:2]
    table.take(table.act("accept", first, sequence=10))
    table.take(table.act("accept", second, sequence=30))
    table.take(table.act("undo", sequence=20))
    assert (table.states()[first].status, table.states()[second].status) == ("pending", "accepted")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["proposal", "pair"])
def test_fifty_undos_restore_the_exact_states_of_fifty_acts_before(kind, seed):
    """Single, repeated and bulk decisions, edits and skips of one person, while another decides too."""
    table, rng = Table(pairs=12), random.Random(seed)
    items = [*table.ids(kind=kind)]
    singles = {
        "proposal": ["accept", "accept_chosen", "accept_rejected", "reject", "flag", "skip", "edit"],
        "pair": ["label_right", "flip", "drop", "ambiguous", "skip"],
    }[kind]

    def snapshot():
        dealt = table.deal(kind=kind, read_only=True)
        return table.states(), table.labels(), [card.id for card in dealt.cards], dealt.progress

    for item in rng.sample(items, 4):
        table.do("reject" if kind == "proposal" else "drop", item, annotator="bob", kind=kind)
    table.do(singles[0], items[0], kind=kind)
    before = [snapshot()]
    pending: list[dict] = []
    for number in range(50):
        action = rng.choice(singles)
        count = 1 if action == "edit" or number % 3 else rng.randint(2, len(items) // 2)
        fields = {"chosen": f"edited {number}"} if action == "edit" else {}
        pending.append(table.act(action, *rng.sample(items, count), kind=kind, **fields))
        assert table.take(*pending[-5:], kind=kind).refused == ()  # the log is sent again and again
        before.append(snapshot())
    undos: list[dict] = []
    for number in range(50):
        undos.append(table.act("undo", kind=kind))
        assert table.take(*undos[-3:], kind=kind).refused == ()
        states, labels, ids, progress = snapshot()
        earlier_states, earlier_labels, earlier_ids, earlier_progress = before[-2 - number]
        assert states == earlier_states
        assert labels == earlier_labels
        assert ids == earlier_ids
        assert progress == earlier_progress
    assert len(table.deal(kind=kind).recent) == 1


def test_undo_reaches_back_over_more_events_than_are_read_at_a_time(table):
    items = table.ids()
    for _ in range(12):
        table.do("reject", *items)
    for _ in range(11):
        table.do("undo")
    assert {state.status for state in table.states().values()} == {"rejected"}
    table.do("undo")
    assert {state.status for state in table.states().values()} == {"pending"}


# -------------------------------------------------------------------------------------------- recent acts, progress


def test_recent_acts_are_shown_oldest_first_with_what_was_decided(table):
    items = table.ids()
    table.do("accept", items[0], note="fine", presented="blind_swapped")
    table.do("edit", items[1], chosen="Better.")
    table.do("reject", *items[2:5])
    table.do("skip", items[6])
    table.do("flag", items[7])
    table.do("undo")
    recent = table.deal().recent
    assert [(act.id, act.decision.action, act.decision.items) for act in recent] == [
        (items[0], "accept", 1),
        (items[1], "edit", 1),
        (items[2], "reject", 3),
        (items[6], "skip", 1),
    ]
    assert [act.card.status for act in recent] == ["accepted", "accepted", "rejected", "pending"]
    assert (recent[0].decision.note, recent[0].decision.presented) == ("fine", "blind_swapped")
    assert recent[1].decision.chosen == "Better."
    assert [act.card.skipped for act in recent] == [False, False, False, True]
    assert table.deal("bob").recent == ()
    for item in items[8:40]:
        table.do("accept", item)
    assert [act.id for act in table.deal().recent] == items[20:40]


def test_an_item_decided_twice_is_shown_as_each_act_decided_it(table):
    item = table.ids()[0]
    table.do("accept", item)
    table.do("reject", item)
    assert [act.decision.action for act in table.deal().recent] == ["accept", "reject"]


def test_progress_counts_what_is_decided_and_waits_and_how_fast(table):
    items = table.ids()
    assert table.deal().progress.seconds_per_decision is None
    for number, item in enumerate(items[:5]):
        table.do("accept", item, seconds=[100, 1, 2, 3, 200][number])
    table.do("skip", items[5], seconds=1000)
    table.do("reject", items[6], annotator="bob")
    progress = table.deal().progress
    assert (progress.decided, progress.waiting, progress.total) == (5, len(items) - 6, len(items) - 1)
    assert progress.seconds_per_decision == 3
    assert progress.accepted == 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_kept_cache_says_what_a_new_one_says_and_new_pairs_are_those_of_the_grids(seed):
    table, rng = Table(pairs=12), random.Random(seed)
    items, pairs = table.ids(), table.ids(kind="pair")
    for number in range(25):
        name = rng.choice(["ada", "bob"])
        action = rng.choice(["accept", "accept", "accept_chosen", "accept_rejected", "edit", "reject", "undo", "label"])
        if action == "label":
            label = rng.choice(["flip", "label_right", "drop", "ambiguous"])
            table.do(label, rng.choice(pairs), kind="pair", annotator=name)
        elif action == "undo":
            table.take(table.act("undo", annotator=name), annotator=name)
        else:
            edit = {"chosen": rng.choice(["one edit", "ONE  edit", "another"])} if action == "edit" else {}
            count = 1 if edit else rng.randint(1, 5)
            table.do(action, *rng.sample(items, count), annotator=name, **edit)
        if number == 12:
            record_review(table.store, "proposal", items[0], "accept", annotator="zoe", clock=table.bench.clock)
        kept = table.deal(name, overlap_percent=30, read_only=True)
        assert kept == table.deal(name, overlap_percent=30, read_only=True, cache=None)
        waits = {card.id for card in kept.cards}
        assert (kept.progress.accepted, kept.progress.new_pairs) == grids(table, without=waits)


def pairs_of_source(table: Table, source_id: str) -> tuple[int, int]:
    """How many of a source's proposals are accepted, and how many cells compose could take for training."""
    states = table.states()
    (pair,) = table.store.pairs.by_id([source_id]).values()
    base = Pair.of(pair.prompt, pair.rejected, pair.chosen) if table.labels().get(source_id) == "flip" else pair
    accepted = [
        each
        for each in table.store.proposals.proposals(source_ids=[source_id])
        if each.oriented_id == base.id and states[each.id].status == "accepted"
    ]
    (cells,) = usable_cells(table.store, [build_grid(source_id, base, accepted, states)], [], CONFIG)
    return len(accepted), len(cells)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_each_card_says_how_many_pairs_it_would_add_to_its_source(seed):
    """Whatever was accepted, edited or taken back before: accepting the card gives what it said."""
    table, rng = Table(pairs=6), random.Random(seed)
    items = table.ids()
    twin = table.store.proposals.by_id(items)[items[0]]
    for number in range(14):
        undecided = table.deal(overlap_percent=0, order="random").cards
        if not undecided:
            break
        card = rng.choice(undecided[:4])
        said = table.deal().grids[card.id]
        assert (said.accepted, said.pairs) == pairs_of_source(table, card.source_id)
        action = rng.choice(["accept", "accept", "accept_chosen", "accept_rejected", "edit", "reject", "undo"])
        if action == "accept":
            table.do("accept", card.id)
            assert (said.accepted + 1, said.pairs_with_it) == pairs_of_source(table, card.source_id)
        elif action == "edit":
            texts = [twin.chosen, card.source.rejected, f"{card.proposal.chosen}  ", "something else", "SOMETHING else"]
            table.do("edit", card.id, chosen=rng.choice(texts))
        elif action == "undo":
            table.take(table.act("undo"))
        else:
            table.do(action, card.id)
        if number == 7:
            table.do("flip", card.source_id, kind="pair")


def test_k_accepted_proposals_give_up_to_k_plus_one_squared_less_one_pairs(table):
    cards = table.deal().cards
    mine = [card for card in cards if card.source_id == cards[0].source_id]
    for k, card in enumerate(mine):
        said = table.deal().grids[card.id]
        assert (said.accepted, said.pairs) == (k, (k + 1) ** 2 - 1)
        assert said.pairs_with_it <= (k + 2) ** 2 - 1
        table.do("accept", card.id)
        assert table.deal().progress.new_pairs == said.pairs_with_it
    assert said.pairs_with_it == (len(mine) + 1) ** 2 - 1


def test_a_side_alone_and_a_text_that_is_there_already_add_less(table):
    cards = table.deal().cards
    first, second, third = [card for card in cards if card.source_id == cards[0].source_id][:3]
    table.do("accept_chosen", first.id)
    assert table.deal().grids[second.id].pairs == 1
    table.do("edit", second.id, chosen=first.proposal.chosen.upper(), rejected=first.source.rejected)
    assert table.deal().grids[third.id].pairs == 1, "nothing new was approved"
    assert table.deal().grids[third.id].accepted == 2
    table.do("edit", third.id, rejected=first.source.chosen)
    (last,) = [card for card in cards if card.source_id == first.source_id][3:4] or [None]
    _, cells = pairs_of_source(table, first.source_id)
    assert table.deal().progress.new_pairs == cells
    assert last is None or table.deal().grids[last.id].pairs == cells


def test_pairs_of_a_source_are_unknown_while_they_are_being_counted(table, monkeypatch):
    monkeypatch.setattr("mars_engine.curate.deck_items.FAMILIES_AT_ONCE", 1)
    sources = {card.source_id: card.id for card in table.deal().cards}
    table.do("accept", *sources.values())
    grids_told = [table.deal().grids.values() for _ in range(len(sources) + 1)]
    assert None in grids_told[0]
    assert None not in grids_told[-1]
    assert {each.accepted for each in grids_told[-1]} == {1}


def test_what_others_accepted_changes_no_figure_before_one_has_decided_oneself(table):
    cards = table.deal("bob", overlap_percent=100).cards
    first, second, third = [card.id for card in cards if card.source_id == cards[0].source_id][:3]

    def told(annotator: str = "bob"):
        dealt = table.deal(annotator, overlap_percent=100, read_only=True)
        assert dealt == table.deal(annotator, overlap_percent=100, read_only=True, cache=None)
        return dealt.progress.accepted, dealt.progress.new_pairs, dealt.grids

    before = told()
    table.do("accept", first, second, annotator="ann")
    table.do("edit", third, annotator="ann", chosen="another text")
    assert told() == before
    assert told("ann")[:2] == grids(table)
    table.do("accept", first, annotator="bob")
    accepted, pairs, by_card = told()
    assert (accepted, pairs) == grids(table, without={second, third})
    assert by_card[second].accepted == 1
    table.do("reject", second, annotator="bob")
    table.do("skip", third, annotator="bob")
    assert told()[:2] == grids(table, without={third})
    assert told("eve")[:2] == grids(table, without={third}), "the others have been decided by two"


def test_what_a_policy_decided_stands_in_the_figures_where_a_persons_answer_is_hidden(table):
    review_by_policy(table.store, "accept-all", clock=table.bench.clock)
    options = {"overlap_percent": 100, "source": UNREAD, "read_only": True}
    before = table.deal("bob", **options)
    items = [card.id for card in before.cards]
    table.do("reject", items[0], annotator="ann")
    table.do("accept_chosen", items[1], annotator="ann")
    after = table.deal("bob", **options)
    assert (after.grids, after.progress) == (before.grids, before.progress)
    table.do("reject", items[0], annotator="bob")
    assert table.deal("bob", **options).progress.accepted == before.progress.accepted - 1


def test_figures_without_hidden_answers_are_counted_a_few_sources_at_a_time(table, monkeypatch):
    table.do("accept", *table.ids(), annotator="ann")
    whole = table.deal("bob", overlap_percent=50, read_only=True)
    monkeypatch.setattr("mars_engine.curate.deck_items.FAMILIES_AT_ONCE", 5)
    table.cache = DeckCache(table.store)
    counted = [table.deal("bob", overlap_percent=50, read_only=True) for _ in range(8)]
    assert counted[0].progress.new_pairs is None
    assert (counted[-1].grids, counted[-1].progress) == (whole.grids, whole.progress)


def grids(table: Table, without: Collection[str] = ()) -> tuple[int, int]:
    """How many proposals but for some are accepted, and how many pairs compose could make of them."""
    states, labels = table.states(), table.labels()
    accepted, pairs = 0, 0
    for pair in table.store.pairs.pairs("train"):
        label = labels.get(pair.id, "label_right")
        if label in ("drop", "ambiguous"):
            continue
        base = Pair.of(pair.prompt, pair.rejected, pair.chosen) if label == "flip" else pair
        usable = [
            each
            for each in table.store.proposals.proposals(source_ids=[pair.id])
            if each.oriented_id == base.id and states[each.id].status == "accepted" and each.id not in without
        ]
        accepted += len(usable)
        pairs += build_grid(pair.id, base, usable, states).size
    return accepted, pairs


def test_new_proposals_and_pairs_are_noticed(table):
    before = table.ids()
    table.do("accept", before[0])
    table.add_pairs(make_pairs(6, seed=3, first=500), name="more")
    model = table.store.models.latest()
    score_model(table.bench, model)
    make_proposals(table.bench, make_plan(table.bench, model, round_number=2).plan)
    after = table.ids()
    assert set(before[1:]) < set(after)
    assert table.deal() == table.deal(cache=None)
    assert len(table.ids(kind="pair")) == 22


@pytest.mark.parametrize("kind", ["pair", "proposal"])
def test_a_card_tells_whether_its_reader_knows_its_labels_from_before(table, kind):
    decided, hidden, shown, fresh = table.ids(kind=kind)[:4]
    table.do("drop" if kind == "pair" else "reject", decided, kind=kind, presented="blind")
    (recent,) = table.deal(kind=kind).recent
    assert recent.card.seen
    table.do("undo", kind=kind)
    table.do("skip", hidden, kind=kind, presented="blind_swapped")
    table.do("skip", shown, kind=kind)
    for options in ({}, {"cache": None}):
        seen = {card.id: card.seen for card in table.deal(kind=kind, **options).cards}
        assert [seen[item] for item in (decided, hidden, shown, fresh)] == [True, False, True, False]
    assert not any(card.seen for card in table.deal("bob", kind=kind, read_only=True).cards)


@pytest.mark.parametrize("kind", ["pair", "proposal"])
def test_what_was_removed_is_forgotten(table, kind):
    """Rows that come after a removal may have the numbers of those that went."""
    items = table.ids(kind=kind)
    table.do("skip", *items[:9], kind=kind)
    table.store.removal.remove_everything()
    assert table.deal(kind=kind) == table.deal(kind=kind, cache=None)
    assert table.deal(kind=kind).progress.total == 0
    fill(table.bench, 16, True)
    table.do("drop" if kind == "pair" else "reject", items[3], kind=kind)
    assert table.ids(kind=kind) == [item for item in items if item != items[3]]


def test_new_pairs_are_counted_a_few_sources_at_a_time(table, monkeypatch):
    monkeypatch.setattr("mars_engine.curate.deck_items.FAMILIES_AT_ONCE", 5)
    review_by_policy(table.store, "accept-all", clock=table.bench.clock)
    counts = [table.deal().progress.new_pairs for _ in range(6)]
    assert counts[0] is None
    assert counts[-1] == grids(table)[1]


def test_a_decision_and_the_deal_after_it_are_two_write_transactions(table, monkeypatch):
    """One stores what was decided and ends its lease; one gives back what is not read soon and leases what is."""
    first = table.ids(limit_cards=6)[0]
    writes = []
    write = Database.write
    monkeypatch.setattr(Database, "write", lambda database: writes.append(database) or write(database))
    table.do("accept", first)
    assert len(writes) == 1
    assert first not in {lease.item_id for lease in table.store.leases.standing("proposal", now=table.bench.clock())}
    dealt = table.ids(order="margin", limit_cards=3)  # fewer than were held, in another order
    assert len(writes) == 2
    held = {lease.item_id for lease in table.store.leases.standing("proposal", now=table.bench.clock())}
    assert held == set(dealt)
    assert len(dealt) == 3


@pytest.mark.parametrize("kind", ["pair", "proposal"])
def test_a_deal_builds_only_cards_that_its_reader_does_not_hold(table, monkeypatch, kind):
    """The browser sends the ids of what it holds with each decision."""
    built = []
    for name in ("pair_card", "proposal_card"):
        build = getattr(deck, name)
        monkeypatch.setattr(
            deck, name, lambda *args, build=build, **options: built.append(args[0].id) or build(*args, **options)
        )
    first = table.deal(kind=kind, limit_cards=12)
    assert built == list(first.queue) == [card.id for card in first.cards]
    held = set(first.queue)
    for number, item in enumerate(first.queue[:3]):
        built.clear()
        table.do("drop" if kind == "pair" else "accept", item, kind=kind)
        dealt = table.deal(kind=kind, limit_cards=12, held=held)
        assert built == [dealt.queue[-1]] == [card.id for card in dealt.cards]
        assert [(act.id, act.card) for act in dealt.recent] == [(each, None) for each in first.queue[: number + 1]]
        whole = table.deal(kind=kind, limit_cards=12)
        assert replace(dealt, cards=(), recent=()) == replace(whole, cards=(), recent=())
        assert [act.decision for act in dealt.recent] == [act.decision for act in whole.recent]
        held.add(dealt.queue[-1])
    built.clear()
    again = table.deal(kind=kind, limit_cards=12, held=held, cache=None)
    assert (again.cards, again.queue) == ((), dealt.queue)
    assert set(built) == {*dealt.queue, *first.queue[:3]}, (
        "a server that has just started knows nothing of what is held"
    )


def test_what_is_held_counts_for_how_much_is_dealt():
    table = Table(pairs=0, proposals=False)
    huge = [Pair.of([Turn("user", str(number))], "x" * 400_000, "y" * 300_000) for number in range(6)]
    table.add_pairs(tuple(huge), name="huge")
    queue = table.deal(kind="pair").queue
    assert queue == tuple(pair.id for pair in huge[:2])
    assert table.deal(kind="pair", held=queue).queue == queue
    assert table.deal(kind="pair", held=queue).cards == ()
