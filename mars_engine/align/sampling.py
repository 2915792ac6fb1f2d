"""How a policy is sampled: the settings, which answer is drawn, and by which seed."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from mars_engine.core.errors import ConfigError
from mars_engine.core.records import Prompt, prompt_id


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How answers are drawn. Equal settings, seed and prompt give equal answers."""

    temperature: float = 1.0
    top_p: float = 1.0
    """The share of the probability that is drawn from, of the 512 likeliest tokens at most."""
    max_new_tokens: int = 256
    """An answer that has not ended by then is cut off there."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"the temperature is {self.temperature:g}", expected="a number above 0")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top-p is {self.top_p:g}", expected="a number above 0, at most 1")
        if self.max_new_tokens < 1:
            raise ConfigError(f"the most new tokens are {self.max_new_tokens}", expected="1 or more")

    def as_plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Draw:
    """Which answer of a prompt is drawn: the first, the second, …, counted from 0."""

    prompt: Prompt
    number: int

    @property
    def key(self) -> tuple[str, int]:
        return prompt_id(self.prompt), self.number


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer that was drawn; `tokens` are those of the answer, its end included where it ended."""

    text: str
    tokens: int
    finished: bool


def seed_of(draw: Draw, seed: int) -> int:
    """Return the seed of a draw, a signed 64-bit integer: more draws or prompts change none of those before."""
    digest = hashlib.sha256(f"{seed}\n{draw.number}\n{prompt_id(draw.prompt)}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
