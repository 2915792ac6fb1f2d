"""Rewrites that were written elsewhere: taken in from a file, or by a function of the caller's, and kept.

They are kept where a chat model's answers are, a row for each rewrite: `model` is who wrote it, `asking` counts the
writer's rewrites of the text from 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mars_engine.augment.generators.chat.reading import Reading, vet_rewrites
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.core.chat_records import ChatRequest, KeptAnswer
from mars_engine.core.clock import Clock
from mars_engine.core.errors import GenerationError
from mars_engine.core.records import GeneratorCard, Prompt, Side, Turn
from mars_engine.store.chat import ChatStore
from mars_engine.store.database import storable

SERVER = "taken in"
"""What stands in the place of a server's address."""
TEMPLATE = "none"
CARD_NAME, VERSION = "given", "1"
Writer = Callable[[list[str]], Sequence[str | Sequence[str]]]
"""Returns for each text a rewrite of it, or several, or an empty list."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a writer may have rewritten: a text to paraphrase, or one side of a pair to refine."""

    request: ChatRequest
    source: str
    others: tuple[str, ...]
    """Texts that a rewrite must not be either."""


def to_paraphrase(writer: str, text: str, source_id: str) -> Wanted:
    """Return what is asked of a writer elsewhere, whose paraphrases of a text are taken in."""
    return Wanted(_request(writer, "paraphrase", source_id, (Turn("user", text),)), text, ())


def to_refine(writer: str, side: Side, prompt: Prompt, chosen: str, rejected: str, source_id: str) -> Wanted:
    """Return what is asked of a writer elsewhere, who rewrites one side of a pair to differ more from the other."""
    messages = (*prompt, Turn("chosen", chosen), Turn("rejected", rejected))
    source, other = (chosen, rejected) if side == "chosen" else (rejected, chosen)
    return Wanted(_request(writer, f"refine {side}", source_id, messages), source, (other,))


def _request(writer: str, purpose: str, source_id: str, messages: Prompt) -> ChatRequest:
    return ChatRequest(
        purpose=purpose,
        source_id=source_id,
        model=writer,
        messages=messages,
        parameters={"given": purpose},
        template=TEMPLATE,
        schema={},
    )


def kept_rewrite(wanted: Wanted, text: str, place: int, at: datetime) -> KeptAnswer:
    """Return what is kept of a writer's rewrite; `place` counts the writer's rewrites of the same from 0."""
    request = wanted.request
    return KeptAnswer(
        request_id=request.id,
        asking=place,
        source_id=request.source_id,
        purpose=request.purpose,
        model=request.model,
        server=SERVER,
        template=request.template,
        prompt_hash=request.prompt_hash,
        messages=request.messages,
        parameters=request.parameters,
        answer=text,
        finish_reason="stop",
        failure="",
        retryable=False,
        input_tokens=0,
        output_tokens=0,
        cost=0.0,
        seconds=0.0,
        attempts=0,
        asked_at=at,
    )


def why_unusable(wanted: Wanted, text: str) -> str:
    """Return why a rewrite cannot be used; empty where it can."""
    return vet_rewrites(Reading((text,)), source=wanted.source, others=wanted.others, wanted=1).reason


def given_card(writer: str) -> GeneratorCard:
    """Return the card of a writer whose rewrites are taken in."""
    return GeneratorCard(
        CARD_NAME, VERSION, {"writer": writer}, stand_in=False, note=f"rewrites by {writer}, written elsewhere"
    )


@dataclass(frozen=True, slots=True)
class GivenParaphraser:
    """Paraphrases by what a writer's rewrites were taken in as.

    Guarantees: the original is never given as a rewrite; a writer who can be asked is asked for a text once, unless it
    is asked for anew, and each answer is kept before anything is made of it.

    Args:
        store: keeps the rewrites.
        writer: who wrote them.
        write: the writer, where one can be asked; texts without rewrites are then handed to it.
        clock: tells when.
    """

    store: ChatStore
    writer: str
    write: Writer | None = None
    clock: Clock | None = None
    offered: dict[str, int] = field(default_factory=dict)
    """How many rewrites were asked for, by the request's id; what was taken in beyond that is left over."""

    @property
    def card(self) -> GeneratorCard:
        return given_card(self.writer)

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request with rewrites written elsewhere, in order; one without usable ones fails as a value.

        Raises:
            GenerationError: what the writer returned are no rewrites.
        """
        wanted = [to_paraphrase(self.writer, each.text, each.source_id) for each in requests]
        kept = self.store.askings([each.request.id for each in wanted])
        if self.write is not None and self.clock is not None:
            missing = {
                one.request.id: one
                for one, each in zip(wanted, requests, strict=True)
                if each.ask_again or one.request.id not in kept
            }
            kept |= _written(self.store, self.write, list(missing.values()), kept, self.clock())
        counts = [each.count for each in requests]
        return _generations([each.key for each in requests], wanted, counts, kept, self.offered)


@dataclass(frozen=True, slots=True)
class GivenRefiner:
    """Sharpens the contrast by what a writer's refined sides were taken in as; as GivenParaphraser."""

    store: ChatStore
    writer: str
    offered: dict[str, int] = field(default_factory=dict)

    @property
    def card(self) -> GeneratorCard:
        return given_card(self.writer)

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        """Answer each request with rewrites written elsewhere, in order; one without usable ones fails as a value."""
        wanted = [
            to_refine(self.writer, each.side, each.prompt, each.chosen, each.rejected, each.source_id)
            for each in requests
        ]
        kept = self.store.askings([each.request.id for each in wanted])
        counts = [each.count for each in requests]
        return _generations([each.key for each in requests], wanted, counts, kept, self.offered)


def _generations(
    keys: Sequence[str],
    wanted: Sequence[Wanted],
    counts: Sequence[int],
    kept: Mapping[str, Sequence[KeptAnswer]],
    offered: dict[str, int],
) -> list[Generation]:
    return [
        _generation(key, one, count, kept.get(one.request.id, ()), offered)
        for key, one, count in zip(keys, wanted, counts, strict=True)
    ]


def _generation(
    key: str, wanted: Wanted, count: int, kept: Sequence[KeptAnswer], offered: dict[str, int]
) -> Generation:
    """Return what a writer's rewrites give a request, the oldest first."""
    offered[wanted.request.id] = count
    if not kept:
        return Generation(key, (), failure=f"{wanted.request.model} gave no rewrite of it")
    texts = tuple(each.answer or "" for each in kept)
    vetted = vet_rewrites(Reading(texts), source=wanted.source, others=wanted.others, wanted=count)
    return Generation(key, vetted.usable, failure=vetted.reason, provenance={"answers": [wanted.request.id]})


def _written(
    store: ChatStore, write: Writer, missing: Sequence[Wanted], kept: Mapping[str, list[KeptAnswer]], at: datetime
) -> dict[str, list[KeptAnswer]]:
    """Hand texts to a writer, keep what it returns, and return all that is kept of them now."""
    if not missing:
        return {}
    texts = [each.source for each in missing]
    found: dict[str, list[KeptAnswer]] = {}
    for one, rewrites in zip(missing, _checked(write(list(texts)), texts), strict=True):
        before = kept.get(one.request.id, [])
        told = {each.answer for each in before}
        new = [text for text in dict.fromkeys(rewrites) if text not in told]
        fresh = [kept_rewrite(one, text, place, at) for place, text in enumerate(new, start=len(before))]
        found[one.request.id] = [*before, *fresh]
    store.keep([each for askings in found.values() for each in askings])
    return found


def _checked(returned: Any, texts: Sequence[str]) -> list[list[str]]:
    """Return what a function gave for each text as a list of texts.

    Raises:
        GenerationError: it gave something else.
    """
    if isinstance(returned, str) or not isinstance(returned, Sequence) or len(returned) != len(texts):
        many = f"{len(returned):,} items" if isinstance(returned, Sequence) else type(returned).__name__
        raise GenerationError(
            f"the writer returned {many} for {len(texts):,} texts",
            expected="a list with an item for each text: its rewrite, or a list of rewrites",
            remedy="return a list in the order of the texts, with [] for a text that has no rewrite",
        )
    rewrites: list[list[Any]] = [list(each) if isinstance(each, (list, tuple)) else [each] for each in returned]
    if wrong := [each for some in rewrites for each in some if not isinstance(each, str)]:
        raise GenerationError(
            f"the writer returned a {type(wrong[0]).__name__} in the place of a rewrite",
            expected="texts alone",
            remedy="return a list with a rewrite, or a list of rewrites, for each text",
        )
    return [[storable(text) for text in some] for some in rewrites]
