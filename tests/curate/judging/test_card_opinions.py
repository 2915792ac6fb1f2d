"""What judges say goes with a pair's card, to be shown after one's own decision, before it, or never."""

from datetime import UTC, datetime

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.core.config import JudgeConfig, MarsConfig
from mars_engine.core.judge_records import LabelOpinion
from mars_engine.curate.cards import PairCard
from mars_engine.curate.deck import as_json, deal
from mars_engine.curate.deck_cache import DeckCache
from mars_engine.curate.reading import Reading
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache

PAIRS = make_pairs(3)
AT = datetime(2026, 11, 29, tzinfo=UTC)


def dealt(shown: str):
    bench = make_bench(MarsConfig(judge=JudgeConfig(shown=shown)))
    import_pairs(ListSource(PAIRS), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    first, second, _ = PAIRS
    bench.store.opinions.keep(
        [
            LabelOpinion("chat tiny", first.id, "rejected", "rejected", "rejected", "", retryable=False, at=AT),
            LabelOpinion("recorded", first.id, "tie", "tie", "tie", "both rude", retryable=False, at=AT),
            LabelOpinion("recorded", second.id, "chosen", "chosen", "chosen", "", retryable=False, at=AT),
        ]
    )
    record_review(bench.store, "pair", first.id, "flip", annotator="ada", clock=bench.clock)
    index = PairIndexCache(bench.store).current()
    return deal(DeckCache(bench.store), index, bench.config, Reading("pair", "ada"), clock=bench.clock)


@pytest.mark.parametrize(("shown", "first"), [("after", False), ("before", True)])
def test_opinions_go_with_cards_to_read_and_with_those_that_were_decided(shown, first):
    found = dealt(shown)
    (act,) = found.recent
    decided = act.card
    assert isinstance(decided, PairCard)
    assert [(each.judge, each.words, each.agrees_with) for each in decided.opinions] == [
        ("judge:chat tiny", "the rejected answer is better", "flip"),
        ("judge:recorded", "neither answer is better (both rude)", None),
    ]
    cards = {card["id"]: card for card in as_json(found)["cards"]}
    assert [each["agrees_with"] for each in cards[PAIRS[1].id]["opinions"]] == ["label_right"]
    assert cards[PAIRS[2].id]["opinions"] == ()
    assert {card["opinions_first"] for card in cards.values()} == {first}


def test_they_are_not_even_sent_where_they_are_never_shown():
    found = dealt("never")
    cards = [*found.cards, *(act.card for act in found.recent)]
    assert [isinstance(card, PairCard) and card.opinions for card in cards] == [()] * 3
