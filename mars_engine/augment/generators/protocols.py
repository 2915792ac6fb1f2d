"""What is asked of a generator, what it answers, and what a paraphraser and a refiner promise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mars_engine.core.chat_records import GenerationEstimate
from mars_engine.core.records import GeneratorCard, Prompt, Side


@dataclass(frozen=True, slots=True)
class ParaphraseRequest:
    """Ask for up to `count` different paraphrases of a text."""

    key: str
    text: str
    count: int
    seed: int
    source_id: str = ""
    """The source pair that it is for."""
    ask_again: bool = False
    """Whether an answer that could not be used is to be asked for anew, by a generator that keeps its answers."""


@dataclass(frozen=True, slots=True)
class RefineRequest:
    """Ask for up to `count` rewrites of one side that differ more from the other side, best guess first.

    A rewritten rejected answer must stay the worse one, a rewritten chosen answer the better one.
    """

    key: str
    prompt: Prompt
    chosen: str
    rejected: str
    side: Side
    count: int
    seed: int
    source_id: str = ""
    """The source pair that it is for."""
    ask_again: bool = False
    """Whether an answer that could not be used is to be asked for anew, by a generator that keeps its answers."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A generator's answer to a request: candidates, or why there are none. Both may be given: fewer than asked."""

    key: str
    candidates: tuple[str, ...]
    failure: str = ""
    retryable: bool = False
    provenance: Mapping[str, Any] | None = None
    """What is known of this one answer beside the generator's card, e.g. tokens and latency."""


class Paraphraser(Protocol):
    """Writes paraphrases of a text."""

    @property
    def card(self) -> GeneratorCard: ...

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Paraphrase the text of each request, in order; a request that fails is a value, never an exception."""
        ...


class Refiner(Protocol):
    """Rewrites one side of a pair so that it differs more from the other."""

    @property
    def card(self) -> GeneratorCard: ...

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Rewrite the side of each request, in order; a request that fails is a value, never an exception."""
        ...


@runtime_checkable
class Prefetching(Protocol):
    """A paraphraser or refiner that can start on requests before their answers are needed."""

    def prefetch(self, requests: Sequence[Any], *, soon: bool = False) -> None:
        """Let a generator start on requests it will be asked, and return at once; those needed soon go first."""
        ...


@runtime_checkable
class Estimating(Protocol):
    """A paraphraser, refiner or judge that can tell beforehand what its answers will take."""

    def estimate(self, requests: Sequence[Any]) -> GenerationEstimate:
        """Return what a generator or judge would take to answer these requests; nothing is asked."""
        ...
