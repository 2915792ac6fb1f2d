"""Holding out by prompt: two parts that share no prompt, lose no pair and never move."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fakes import ListSource, make_pairs
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.import_records import ParsedRow
from mars_engine.core.records import Pair, Split, Turn
from mars_engine.data.holdout import HoldoutPart
from mars_engine.data.loaders.opening import PairSource

PAIRS = make_pairs(600, pairs_a_prompt=3)
SOURCE = ListSource(PAIRS)


@dataclass(frozen=True)
class RowSource(ListSource):
    """Gives rows as they are."""

    parsed: tuple[ParsedRow, ...] = ()

    def rows(self) -> Iterator[ParsedRow]:
        return iter(self.parsed)


def part(split: Split, fraction: float, source: PairSource = SOURCE) -> tuple[Pair, ...]:
    return tuple(pair for row in HoldoutPart(source, fraction, split).rows() for pair in row.pairs)


def prompts(pairs: tuple[Pair, ...]) -> set[str]:
    return {pair.prompt_id for pair in pairs}


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9])
def test_the_parts_share_no_prompt_and_lose_no_pair(fraction):
    train, heldout = part("train", fraction), part("heldout", fraction)
    assert Counter(train + heldout) == Counter(PAIRS)
    assert prompts(train).isdisjoint(prompts(heldout))
    assert list(train) == sorted(train, key=PAIRS.index)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_about_the_fraction_of_the_prompts_is_held_out(fraction):
    source = ListSource(make_pairs(3000))
    share = len(part("heldout", fraction, source)) / 3000
    assert share == pytest.approx(fraction, abs=0.03)  # three standard errors


def test_a_fraction_of_0_holds_out_nothing_and_of_1_everything():
    assert part("heldout", 0.0) == ()
    assert part("train", 0.0) == PAIRS
    assert part("heldout", 1.0) == PAIRS
    assert part("train", 1.0) == ()


@pytest.mark.slow
@given(st.sets(st.integers(0, 599), min_size=1, max_size=20), st.randoms())
def test_a_pairs_part_does_not_depend_on_the_pairs_beside_it(chosen, random):
    some = [PAIRS[index] for index in chosen]
    random.shuffle(some)
    heldout = set(part("heldout", 0.3))
    assert set(part("heldout", 0.3, ListSource(tuple(some)))) == heldout & set(some)


def test_a_pairs_part_depends_on_its_prompt_and_not_on_its_answers():
    swapped = tuple(Pair.of(pair.prompt, pair.rejected, "anything", subset="other") for pair in PAIRS)
    assert prompts(part("heldout", 0.3, ListSource(swapped))) == prompts(part("heldout", 0.3))


def test_a_larger_fraction_holds_out_the_same_pairs_and_more():
    smaller, larger = set(part("heldout", 0.2)), set(part("heldout", 0.4))
    assert smaller < larger


def test_a_prompts_part_never_moves():
    """Workspaces hold pairs out by this rule: a change of it would move held-out pairs into training."""
    numbered = tuple(Pair.of([Turn("user", f"question {number}")], "a", "b") for number in range(20))
    heldout = [pair.prompt[0].content.split()[1] for pair in part("heldout", 0.25, ListSource(numbered))]
    assert heldout == ["1", "5", "7", "10", "14", "16", "17"]


def test_rows_keep_their_numbers():
    rows = [*HoldoutPart(SOURCE, 0.3, "train").rows(), *HoldoutPart(SOURCE, 0.3, "heldout").rows()]
    assert {(row.row, pair) for row in rows for pair in row.pairs} == set(enumerate(PAIRS, start=1))


def test_dropped_rows_count_for_the_training_part_once():
    source = RowSource(
        (),
        parsed=(
            ParsedRow(1, (), ("no chosen text",)),
            ParsedRow(2, (PAIRS[0],), ("a tie",)),
            ParsedRow(3),
        ),
    )
    parts = {split: list(HoldoutPart(source, 1.0, split).rows()) for split in ("train", "heldout")}
    assert parts == {
        "train": [ParsedRow(1, (), ("no chosen text",)), ParsedRow(2, (), ("a tie",))],
        "heldout": [ParsedRow(2, (PAIRS[0],), ())],
    }


def test_a_row_whose_pairs_have_two_prompts_is_divided():
    kept = part("train", 0.5)[0]
    held = part("heldout", 0.5)[0]
    source = RowSource((), parsed=(ParsedRow(1, (kept, held)),))
    assert part("train", 0.5, source) == (kept,)
    assert part("heldout", 0.5, source) == (held,)


def test_each_part_is_a_source_of_its_own():
    parts = [HoldoutPart(SOURCE, fraction, split) for fraction in (0.2, 0.3) for split in ("train", "heldout")]
    assert len({each.content_hash for each in [*parts, SOURCE]}) == 5
    first: PairSource = parts[0]
    assert (first.name, first.location, first.format) == (SOURCE.name, SOURCE.location, SOURCE.format)
