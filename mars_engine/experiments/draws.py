"""Drawing an experiment's data: base, held-out and unlabelled pairs, anew under each seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mars_engine.core.errors import LoadError
from mars_engine.core.import_records import ParsedRow
from mars_engine.core.protocols import PairSource
from mars_engine.core.records import IntArray, Pair, content_id
from mars_engine.experiments.plan import DatasetPlan


@dataclass(frozen=True, slots=True)
class Draw:
    """The parts of a dataset under one seed. No prompt of a held-out pair is in another part."""

    base: tuple[Pair, ...]
    heldout: tuple[Pair, ...]
    unlabelled: tuple[Pair, ...]
    heldout_prompts: IntArray
    """A number for the prompt of each held-out pair, the same under all seeds."""


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
    """Return all pairs of some sources, each once, in their order."""
    return list({pair.id: pair for source in sources for parsed in source.rows() for pair in parsed.pairs}.values())


def draw_pairs(pairs: Sequence[Pair], dataset: DatasetPlan, seed: int) -> Draw:
    """Draw a dataset's parts: prompts for the held-out pairs first, then base pairs from the other prompts' pairs.

    The same pairs, plan and seed give the same draw.

    Raises:
        LoadError: there are too few pairs.
    """
    rng = np.random.default_rng(seed)
    ids = sorted({pair.prompt_id for pair in pairs})
    number_of = {prompt_id: number for number, prompt_id in enumerate(ids)}
    numbers = np.array([number_of[pair.prompt_id] for pair in pairs], dtype=np.int64)
    rank_of_prompt = rng.permutation(len(ids))
    by_prompt = np.argsort(rank_of_prompt[numbers], kind="stable")
    heldout = by_prompt[: dataset.heldout_pairs]
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
    return Draw(base, held, hidden, numbers[heldout])
