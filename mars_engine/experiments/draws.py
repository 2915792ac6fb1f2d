"""Drawing an experiment's data: base, held-out and unlabelled pairs, anew under each seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mars_engine.core.errors import LoadError
from mars_engine.core.import_records import ParsedRow
from mars_engine.core.records import IntArray, Pair, content_id
from mars_engine.data.loaders.opening import PairSource
from mars_engine.experiments.plan import DatasetPlan


@dataclass(frozen=True, slots=True)
class DatasetPairs:
    """What the files of a dataset hold."""

    pairs: Sequence[Pair]
    heldout: Sequence[Pair] = ()
    """Held-out pairs of its own; empty: they are drawn from `pairs`."""
    mislabelled: frozenset[str] = frozenset()
    """Ids of the pairs whose labels are known to be wrong."""
    rewrites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Recorded rewrites of each pair by its id, by column; see `recorded_rewrites`."""

    @property
    def content(self) -> str:
        """An id of all that the experiment's dataset holds."""
        parts = [[pair.id for pair in pairs] for pairs in (self.pairs, self.heldout)]
        return content_id(parts, sorted(self.mislabelled), {key: dict(row) for key, row in self.rewrites.items()})


@dataclass(frozen=True, slots=True)
class Draw:
    """The parts of a dataset under one seed. No prompt of a held-out pair is in another part."""

    base: tuple[Pair, ...]
    heldout: tuple[Pair, ...]
    unlabelled: tuple[Pair, ...]
    heldout_prompts: IntArray
    """A number for the prompt of each held-out pair, the same under all seeds."""
    wrong: frozenset[str] = frozenset()
    """Ids of the base pairs whose labels are known to be wrong."""
    rewrites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Recorded rewrites of the base pairs, by their ids."""
    writer: str = ""
    """Who wrote them."""


@dataclass(frozen=True, slots=True)
class DrawnPairs:
    """Drawn pairs as a source to import."""

    name: str
    pairs: tuple[Pair, ...]
    format: str = "drawn"

    @property
    def location(self) -> str:
        return self.name

    @property
    def content_hash(self) -> str:
        return content_id([pair.id for pair in self.pairs])

    def rows(self) -> Iterator[ParsedRow]:
        for number, pair in enumerate(self.pairs, start=1):
            yield ParsedRow(number, (pair,))


def read_pairs(sources: Sequence[PairSource]) -> list[Pair]:
    """Return all pairs of the sources of an experiment's dataset, each once, in their order."""
    return list({pair.id: pair for source in sources for parsed in source.rows() for pair in parsed.pairs}.values())


def draw_pairs(data: DatasetPairs, dataset: DatasetPlan, seed: int) -> Draw:
    """Draw a dataset's parts: prompts for the held-out pairs first, then base pairs from the other prompts' pairs.

    Where the dataset has held-out pairs of its own, they are the same under each seed. The same pairs, plan and seed
    give the same draw.

    Raises:
        LoadError: there are too few pairs.
    """
    rng = np.random.default_rng(seed)
    pairs = [*data.pairs, *data.heldout]
    ids = sorted({pair.prompt_id for pair in pairs})
    number_of = {prompt_id: number for number, prompt_id in enumerate(ids)}
    numbers = np.array([number_of[pair.prompt_id] for pair in pairs], dtype=np.int64)
    if data.heldout:
        heldout = np.arange(len(data.pairs), len(pairs))[: dataset.heldout_pairs or None]
        others = np.flatnonzero(~np.isin(numbers[: len(data.pairs)], numbers[heldout]))
    else:
        rank_of_prompt = rng.permutation(len(ids))
        heldout = np.argsort(rank_of_prompt[numbers], kind="stable")[: dataset.heldout_pairs]
        others = np.flatnonzero(~np.isin(numbers, numbers[heldout]))
    if len(heldout) < dataset.heldout_pairs or len(others) < dataset.base_pairs:
        raise LoadError(
            f"the dataset {dataset.name!r} has {len(pairs):,} pairs of {len(ids):,} prompts, of which "
            f"{len(others):,} pairs remain beside {len(heldout):,} held-out ones with prompts of their own",
            expected=f"{dataset.heldout_pairs:,} held-out and {dataset.base_pairs:,} base pairs",
            remedy="lower base_pairs or heldout_pairs of the plan, or name more files",
        )
    shuffled = rng.permutation(others)
    rest = shuffled[dataset.base_pairs :]
    unlabelled = rest[: dataset.unlabelled_pairs] if dataset.unlabelled_pairs else rest
    base, held, hidden = (
        tuple(pairs[place] for place in places.tolist())
        for places in (shuffled[: dataset.base_pairs], heldout, unlabelled)
    )
    wrong = frozenset(pair.id for pair in base) & data.mislabelled
    rewrites = {pair.id: data.rewrites[pair.id] for pair in base if pair.id in data.rewrites}
    return Draw(base, held, hidden, numbers[heldout], wrong, rewrites, dataset.writer)


def flip_labels(draw: Draw, share: float, seed: int) -> Draw:
    """Return the draw with this share of its base pairs the wrong way round, drawn by the seed; held-out pairs never.

    A pair whose label is known to be wrong becomes right when it is flipped. Under one seed the pairs of a smaller
    share are among those of a larger one.
    """
    order = np.random.default_rng([seed, len(draw.base)]).permutation(len(draw.base))
    places = set(order[: round(share * len(draw.base))].tolist())
    base = tuple(pair.exchanged if place in places else pair for place, pair in enumerate(draw.base))
    if len({pair.id for pair in base}) < len(base):
        raise LoadError(
            "the base pairs hold a pair in both directions, so that flipping one makes it equal to the other",
            remedy="remove one of the two from the dataset, or leave out 'flipped'",
        )
    before_and_after = list(zip(draw.base, base, strict=True))
    wrong = frozenset(
        pair.id
        for place, (before, pair) in enumerate(before_and_after)
        if (before.id in draw.wrong) != (place in places)
    )
    rewrites = {
        pair.id: rewrites_exchanged(draw.rewrites[before.id]) if place in places else draw.rewrites[before.id]
        for place, (before, pair) in enumerate(before_and_after)
        if before.id in draw.rewrites
    }
    return replace(draw, base=base, wrong=wrong, rewrites=rewrites)


def rewrites_exchanged(rewrites: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pair's recorded rewrites with its sides the other way round.

    Each paraphrase goes with its text. Refined answers are left out: they were written to be better or worse than the
    side that was the other one then.
    """
    other = {"chosen_p": "rejected_p", "rejected_p": "chosen_p"}
    return {other.get(name, name): text for name, text in rewrites.items() if not name.endswith("_refined")}
