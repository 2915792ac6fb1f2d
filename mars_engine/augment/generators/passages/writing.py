"""What is asked of a model that rewrites passages, and what it answers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mars_engine.core.config import Decoding
from mars_engine.core.progress import Progress

LIMIT_STEP = 32
"""Tokens between the limits of answers."""


@dataclass(frozen=True, slots=True)
class Search:
    """How candidates are decoded."""

    decoding: Decoding
    temperatures: tuple[float, ...]
    """One for each candidate; it counts under 'sample' alone."""
    top_p: float
    diversity_penalty: float
    no_repeat_ngram: int

    @property
    def candidates(self) -> int:
        """How many candidates are decoded of each passage."""
        return len(self.temperatures)

    @property
    def ranks(self) -> bool:
        """Whether candidates come likeliest first; those of several temperatures come in their order."""
        return len(set(self.temperatures)) == 1


@dataclass(frozen=True, slots=True)
class Origin:
    """What a text is written for: told to a model that keeps its answers by it."""

    purpose: str = ""
    source_id: str = ""
    """Of the source pair."""


NO_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class Asked:
    """All that a model reads at once, and the seed of what is drawn for it."""

    text: str
    seed: int
    origin: Origin = field(default=NO_ORIGIN, compare=False)
    """Of the text that it was asked for first."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: the text, on one line, and whether it came to an end before the length limit."""

    text: str
    finished: bool
    failure: str = ""
    """Why nothing was written at all; empty where the model answered."""
    retryable: bool = False
    """Whether that has to do with the moment, so that asking once more may help."""
    answer_id: str = ""
    """Of the request whose answer is kept, where it is."""


def most_written(tokens_read: int) -> int:
    """Return how many tokens the rewriting of a passage of so many may have: half as many more, and some.

    In steps, so that texts of similar length share a limit, and a batch that ends with its longest text cuts no other.
    """
    return -(-(tokens_read + tokens_read // 2 + 8) // LIMIT_STEP) * LIMIT_STEP


def seeds_of(asked: Asked, candidates: int) -> list[int]:
    """Return the seeds that decide what is drawn for a passage, one a candidate, as signed 64-bit integers.

    They depend on the text and its own seed alone; more candidates change none of those that were there.
    """
    contents = [f"{asked.seed}\n{candidate}\n{asked.text}" for candidate in range(candidates)]
    digests = [hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest() for content in contents]
    return [int.from_bytes(digest[:8], "big", signed=True) for digest in digests]


class PassageWriter(Protocol):
    """A model that rewrites passages."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens the model reads for a passage, special tokens included."""
        ...

    def knows(self, text: str) -> bool:
        """Whether the model that rewrites passages can tell and write every letter of a text."""
        ...

    def write(
        self, asked: Sequence[Asked], search: Search, *, name: str, progress: Progress
    ) -> list[tuple[Written, ...]]:
        """Return candidate rewritings of each passage in `asked`, in order. What else is asked changes none of them.

        Args:
            asked: what to read; nothing of it is cut.
            search: how to decode.
            name: what the work is called where its progress shows.
            progress: shows how far it has come.
        """
        ...
