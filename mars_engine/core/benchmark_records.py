"""A benchmark of reward models: its rows as they are read, and its files as they are written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mars_engine.core.records import Prompt, Rewards

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


class AnswerText(Protocol):
    """Writes a dialogue as the text that a reward model reads."""

    @property
    def template(self) -> str:
        """Whose template it is: "tokenizer", or the name of a format."""
        ...

    def __call__(self, prompt: Prompt, answer: str | None) -> str:
        """Return the text of a prompt and an answer; of the prompt alone where there is none."""
        ...


class BenchmarkFiles(Protocol):
    """The files of one benchmark of one model: what was scored so far, and at the end its results."""

    @property
    def artifact(self) -> str:
        """Their folder, relative to the workspace."""
        ...

    def rewards(self, group: int) -> Rewards | None:
        """Rewards of a group of pairs that was scored before; None where it was not."""
        ...

    def save_rewards(self, group: int, rewards: Rewards) -> None:
        """Keep the rewards of a group of pairs, whole or not at all."""
        ...

    def forget_rewards(self) -> None: ...

    def has_results(self) -> bool: ...

    def write_results(self, model: str, outputs: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any]) -> None:
        """Write the outputs, a line of JSON each, and the metadata, in files named after the model."""
        ...
