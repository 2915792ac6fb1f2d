"""What is asked of a model that rewrites passages, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mars_engine.core.config import Decoding
from mars_engine.core.protocols import Progress


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
        """How many are decoded of each passage."""
        return len(self.temperatures)

    @property
    def ranks(self) -> bool:
        """Whether candidates come likeliest first; those of several temperatures come in their order."""
        return len(set(self.temperatures)) == 1


@dataclass(frozen=True, slots=True)
class Asked:
    """All that a model reads at once, and the seed of what is drawn for it."""

    text: str
    seed: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: the text, on one line, and whether it came to an end before the length limit."""

    text: str
    finished: bool


class PassageWriter(Protocol):
    """A model that rewrites passages."""

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text, special tokens included."""
        ...

    def knows(self, text: str) -> bool:
        """Whether every letter of a text is one that the model can tell and write."""
        ...

    def write(
        self, asked: Sequence[Asked], search: Search, *, name: str, progress: Progress
    ) -> list[tuple[Written, ...]]:
        """Return the candidates for each of `asked`, in order. What else is asked changes none of them.

        Args:
            asked: what to read; nothing of it is cut.
            search: how to decode.
            name: what the work is called where its progress shows.
            progress: shows how far it has come.
        """
        ...
