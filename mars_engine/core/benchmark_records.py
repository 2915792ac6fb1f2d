"""A benchmark of reward models: its rows as they are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mars_engine.core.records import Prompt

BenchmarkVersion = Literal[1, 2]


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """A prompt with its right answers and its wrong ones: one each in version 1, one to many in version 2."""

    id: str
    subset: str
    prompt: Prompt
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)
    """The row as its source has it."""

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers, the right ones first."""
        return self.right + self.wrong


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """All rows of a benchmark's source, in their order. `content_hash` differs where a row differs."""

    version: BenchmarkVersion
    location: str
    content_hash: str
    rows: tuple[BenchmarkRow, ...]
