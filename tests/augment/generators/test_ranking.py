"""Paraphrases ranked by a language model: the most fluent are kept, and what was read is not read again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from tiny_causal import save_tiny_causal

from mars_engine.augment.generators.causal import CausalFluency, rank_paraphrases
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, Prefetching
from mars_engine.core.config import CausalConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import FloatArray, GeneratorCard, Prompt, Turn

READER_CARD = GeneratorCard("reader", "1", {"model": "m"}, stand_in=True, note="")
CARD = GeneratorCard("scripted", "1", {"own": 1}, stand_in=True, note="says what it is told to")


@dataclass
class Writer:
    """Offers the same candidates for every text, as many as are asked for."""

    offered: tuple[str, ...]
    card: GeneratorCard = CARD

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        return [
            Generation(each.key, self.offered[: each.count], "too few" if each.count > len(self.offered) else "")
            for each in requests
        ]


@dataclass
class EarlyWriter(Writer):
    expected: list[tuple[int, bool]] = field(default_factory=list)

    def prefetch(self, requests: Sequence[ParaphraseRequest], *, soon: bool = False) -> None:
        self.expected += [(each.count, soon) for each in requests]


@dataclass
class Reader:
    """Finds shorter texts more fluent, and knows nothing of "?"."""

    card: GeneratorCard = READER_CARD

    def measure(self, texts: Sequence[tuple[Prompt, str]]) -> FloatArray:
        return np.array([np.nan if text == "?" else -len(text) for _, text in texts], dtype=float)


def ask(count: int) -> ParaphraseRequest:
    return ParaphraseRequest("key", "a text", count, 0)


def test_the_most_fluent_come_first_and_what_nobody_can_read_last():
    ranked = rank_paraphrases(Writer(("cccc", "?", "a", "bb")), Reader(), spare=3)
    (one,) = ranked.paraphrase([ask(1)])
    assert (one.candidates, one.failure) == (("a",), "")
    (both,) = ranked.paraphrase([ask(2)])
    assert (both.candidates, both.failure) == (("a", "bb"), ""), "the spare ones alone were missing"
    (all_of_them,) = ranked.paraphrase([ask(9)])
    assert (all_of_them.candidates, all_of_them.failure) == (("a", "bb", "cccc", "?"), "too few")


def test_the_card_says_by_what_was_ranked():
    card = rank_paraphrases(Writer(()), Reader(), spare=3).card
    assert card.name == "scripted"
    assert card.stand_in
    assert card.settings == {"own": 1, "ranked_by": {"model": "m"}, "rank_spare": 3}


def test_a_writer_that_prefetches_still_does_with_the_spare_ones():
    assert not isinstance(rank_paraphrases(Writer(()), Reader(), spare=3), Prefetching)
    writer = EarlyWriter(())
    ranked = rank_paraphrases(writer, Reader(), spare=3)
    assert isinstance(ranked, Prefetching)
    ranked.prefetch([ask(2)], soon=True)
    assert writer.expected == [(5, True)]


@pytest.mark.model
@pytest.mark.usefixtures("one_thread")
def test_a_text_is_read_once_in_its_place(tmp_path, monkeypatch):
    folder = save_tiny_causal(tmp_path / "tiny")
    fluency = CausalFluency(CausalConfig(model=str(folder), device="cpu"), progress=SilentProgress())
    prompt = (Turn("user", "You rewrite texts?"),)
    first = fluency.measure([(prompt, "Answer with one object."), ((), "Answer with one object."), (prompt, "")])
    assert first[0] != first[1]
    assert np.isnan(first).tolist() == [False, False, True]
    monkeypatch.setattr(type(fluency._meter), "measure", None)
    again = fluency.measure([((), "Answer with one object."), (prompt, "Answer with one object.")])
    np.testing.assert_array_equal(again, first[1::-1])
    assert fluency.card.settings["model"] == "tiny"
