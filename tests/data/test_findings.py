"""What a set says against itself: each kind found, counted, exemplified, and kept as a set of pairs."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.workbench import Workbench
from mars_engine.core.records import Pair, Turn
from mars_engine.curate.deck import deal
from mars_engine.curate.deck_cache import DeckCache
from mars_engine.curate.reading import Reading
from mars_engine.data.findings import (
    Findings,
    is_current,
    look_for_findings,
    newest_findings,
    read_findings,
    set_of_finding,
)
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.data.set_faults import band_keys, candidates_across, shared_part, text_key
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up

LONG = "The committee met on Tuesday to settle how the river is to be crossed, and nobody spoke of the old ferry. " * 6


def ask(text: str) -> tuple[Turn, ...]:
    return (Turn("user", text),)


def with_pairs(train=(), heldout=()) -> Workbench:
    bench = make_bench()
    for split, pairs in (("train", train), ("heldout", heldout)):
        if pairs:
            source = ListSource(tuple(pairs), name=split)
            import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    return bench


def look(bench: Workbench) -> Findings:
    return look_for_findings(bench.store, clock=bench.clock, progress=bench.progress)


def members(bench: Workbench, kind: str) -> set[str]:
    return set(bench.store.pair_sets.members(set_of_finding(kind)))


def test_contradictions_within_and_across_splits():
    plain = make_pairs(4)
    first, second, third = (Pair.of(ask(f"Q{n}"), f"better {n}", f"worse {n}") for n in range(3))
    reverse = Pair.of(ask("q0"), "WORSE 0", "better  0")  # spelled otherwise
    across = Pair.of(ask("Q1"), "worse 1", "better 1")
    other_prompt = Pair.of(ask("Q9"), "worse 2", "better 2")
    bench = with_pairs((*plain, first, second, third, reverse, other_prompt), (across,))
    found = look(bench)
    assert found.count("contradictions") == 4
    assert members(bench, "contradictions") == {first.id, reverse.id, second.id, across.id}
    assert members(bench, "across") == {second.id, across.id}
    example = next(each for each in found.all if each.kind == "contradictions").examples[0]
    assert (example.pair_id, example.prompt, example.chosen) == (first.id, "Q0", "better 0")


def test_check_says_of_a_pair_that_another_says_the_reverse():
    first, reverse = (Pair.of(ask("Q"), *sides) for sides in (("good one", "bad one"), ("bad one", "good one")))
    bench = with_pairs((*make_pairs(8), first, reverse))
    score_model(bench, train_warm_up(bench))
    index = PairIndexCache(bench.store).current()
    for contradicted in (set(), {first.id, reverse.id}):
        if contradicted:
            look(bench)
        reading = Reading("pair", "", read_only=True)
        dealt = deal(DeckCache(bench.store), index, bench.config, reading, clock=bench.clock)
        cards = {card.id: card.why for card in dealt.cards}
        assert len(cards) == 10
        assert {pair_id for pair_id, why in cards.items() if "Another pair says the reverse" in why} == contradicted


def test_copies_and_near_copies_across_splits():
    train = [Pair.of(ask(f"Q{n}"), f"{n} {LONG} yes", f"no {n}") for n in range(30)]
    copy = Pair.of(ask("q3"), f"3  {LONG}   YES", "No 3")
    near = Pair.of(ask("Q5"), f"5 {LONG} yes, and more", "no 5")
    far = Pair.of(ask("Q7"), "Something else entirely, of cabbages and kings and why the sea is boiling hot.", "No")
    bench = with_pairs(train, (copy, near, far))
    look(bench)
    assert members(bench, "repeated") == {copy.id}
    assert members(bench, "near") == {near.id}


@pytest.mark.parametrize("seed", range(3))
def test_near_copies_are_found_and_others_not(seed):
    rng = np.random.default_rng(seed)
    words = np.array([f"word{number}" for number in range(2_000)])
    texts = [" ".join(words[rng.integers(0, 2_000, 120)]) for _ in range(200)]
    changed = [text.split() for text in texts[:50]]
    for text in changed:
        text[rng.integers(0, 120)] = "changed"
    bands = np.array([band_keys(text) for text in (*texts, *(" ".join(text) for text in changed))])
    heldout = np.arange(250) >= 200
    candidates = dict(candidates_across(bands, heldout))
    for number in range(50):
        assert number in candidates[200 + number].tolist()
        assert shared_part(texts[number], " ".join(changed[number])) > 0.8
    assert sum(len(each) for each in candidates.values()) < 60


def test_ties_empty_and_long_texts():
    tie = Pair.of(ask("Q1"), "The same answer", "the  same answer")
    no_prompt = Pair.of((), "An answer", "Another")
    empty = Pair.of(ask("Q2"), "Fine", "...")
    long = Pair.of(ask("Q3"), "word " * 5_000, "short")
    bench = with_pairs((*make_pairs(4), tie, no_prompt, empty, long))
    found = look(bench)
    assert members(bench, "ties") == {tie.id}
    assert members(bench, "empty") == {no_prompt.id, empty.id}
    assert members(bench, "long") == {long.id}
    assert (found.count("ties"), found.count("empty"), found.count("long")) == (1, 2, 1)
    assert found.count("contradictions") == 0  # a tie says the reverse of itself, and is none


@pytest.mark.parametrize(("longer", "right"), [(8, 8), (2, 8), (5, 0)])
def test_length_that_alone_tells_the_label(longer, right):
    pairs = [Pair.of(ask(f"Q{n}"), *(("long answer", "short")[:: 1 if n < longer else -1])) for n in range(10)]
    bench = with_pairs(pairs)
    found = look(bench)
    assert found.count("length") == right == len(members(bench, "length"))
    words = next(each for each in found.all if each.kind == "length").words
    assert ("shorter" if longer == 2 else "longer") in words


def test_what_reading_noted_is_among_the_findings():
    bench = with_pairs(make_pairs(3))
    dataset = bench.store.pairs.datasets()[0]
    noted = replace(dataset, id="noted", report={**dataset.report, "notes": {"the scores say the reverse": 2}})
    bench.store.pairs.add_dataset(noted, [])
    assert [(each.count, each.words) for each in look(bench).all if each.kind == "note"] == [
        (2, "a row, when read: the scores say the reverse")
    ]


def test_findings_are_kept_until_the_pairs_change():
    bench = with_pairs(make_pairs(6))
    assert newest_findings(bench.store) is None
    found = look(bench)
    assert newest_findings(bench.store) == found
    assert is_current(bench.store, found)
    source = ListSource(make_pairs(2, first=50))
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    assert not is_current(bench.store, found)
    look(bench)
    assert len(bench.store.evaluations.all("findings")) == 1


def test_a_set_goes_when_its_finding_is_gone():
    first, reverse = Pair.of(ask("Q"), "a", "b"), Pair.of(ask("Q"), "b", "a")
    bench = with_pairs((first, reverse))
    look(bench)
    assert members(bench, "contradictions") == {first.id, reverse.id}
    bench.store.pair_sets.remove(set_of_finding("contradictions"))
    look(bench)
    assert [each.name for each in bench.store.pair_sets.all()] == ["say the reverse of another pair"]


def test_no_pairs_at_all():
    found = look(make_bench())
    assert (found.pairs, sum(each.count for each in found.all)) == (0, 0)


def test_text_keys_tell_where_a_text_ends():
    assert text_key("a b", "c") != text_key("a", "b c")
    assert text_key("A  b\n") == text_key("a b")
    assert text_key("a == b") != text_key("a != b")


def test_stored_findings_are_read_as_they_were():
    bench = with_pairs(make_pairs(3))
    found = look(bench)
    assert read_findings(bench.store.evaluations.all("findings")[0].results) == found
