"""A paraphraser by rule: interchangeable phrases, nothing downloaded, the same answer everywhere."""

import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from mars_engine.augment.generators.phrase_book import SHIPPED_PHRASES, PhraseBook, Slot
from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest
from mars_engine.augment.quality.text_facts import normalized
from mars_engine.core.records import GeneratorCard

_DRAWS_PER_CANDIDATE = 8


class RuleParaphraser:
    """Replaces phrases by others of the same meaning.

    Guarantees: one text and seed always give the same candidates, whatever stands beside them in the batch, in any
    process. Code, formulas, addresses, quotations, numbers with units and names stay as they are, byte for byte, and
    so does all whitespace outside the replaced phrases. Candidates differ from the text and from each other by more
    than whitespace and capitals.

    Args:
        phrases: a phrases file of one's own; the shipped one where none is given.

    Raises:
        GenerationError: the phrases file cannot be read or is malformed.
    """

    def __init__(self, phrases: Path | None = None) -> None:
        self._book = PhraseBook.load(phrases or SHIPPED_PHRASES)

    @property
    def card(self) -> GeneratorCard:
        return GeneratorCard(
            name="rule-paraphraser",
            version="1",
            settings={"phrases": self._book.digest[:12]},
            stand_in=True,
            note="a rule-based stand-in for demonstrations and tests: it swaps phrases of the same meaning from a "
            "fixed list and leaves the order of the sentences and most words as they are",
        )

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        """Answer each request, in order; a text without a phrase of the list gives a failure."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: ParaphraseRequest) -> Generation:
        slots = self._book.slots(request.text)
        if not slots:
            return Generation(request.key, (), failure="no phrase of the list occurs in this text")
        candidates = _distinct_variants(request, slots)
        if len(candidates) < request.count:
            failure = f"only {len(candidates)} of {request.count} different paraphrases possible"
            return Generation(request.key, candidates, failure=failure)
        return Generation(request.key, candidates)


def _distinct_variants(request: ParaphraseRequest, slots: Sequence[Slot]) -> tuple[str, ...]:
    seen = {normalized(request.text)}
    variants: list[str] = []
    for replacements in _choices(request, slots):
        if len(variants) >= request.count:
            break
        variant = _replaced(request.text, slots, replacements)
        key = normalized(variant)
        if key not in seen:
            seen.add(key)
            variants.append(variant)
    return tuple(variants)


def _choices(request: ParaphraseRequest, slots: Sequence[Slot]) -> Iterator[tuple[str | None, ...]]:
    """Yield what to put into each slot, None for nothing: drawn at random first, then all there are, in order.

    Where there are hardly more choices than are asked for, drawing would mostly repeat itself and is left out.
    """
    rng = _random_for(request)
    possible = math.prod(len(slot.options) + 1 for slot in slots)
    draws = _DRAWS_PER_CANDIDATE * request.count if possible > 3 * request.count else 0
    for _ in range(draws):
        share = 0.5 + 0.5 * rng.random()
        yield tuple(
            slot.options[int(rng.random() * len(slot.options))] if rng.random() < share else None for slot in slots
        )
    yield from itertools.product(*[(*slot.options, None) for slot in slots])


def _random_for(request: ParaphraseRequest) -> random.Random:
    content = f"{request.seed}\n{request.text}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(content).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 (a choice of words, no secret)


def _replaced(text: str, slots: Sequence[Slot], replacements: Sequence[str | None]) -> str:
    pieces = []
    position = 0
    for slot, replacement in zip(slots, replacements, strict=True):
        if replacement is not None:
            pieces += [text[position : slot.start], replacement]
            position = slot.end
    pieces.append(text[position:])
    return "".join(pieces)
