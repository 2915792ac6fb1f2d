"""Small deterministic stand-ins for models and files, so that the method's steps are tested without them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np

from mars_engine.augment.generators.protocols import Generation, ParaphraseRequest, RefineRequest
from mars_engine.augment.workbench import Workbench
from mars_engine.core.clock import Clock
from mars_engine.core.config import MarsConfig
from mars_engine.core.import_records import ParsedRow
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import Embeddings, GeneratorCard, ModelEvidence, ModelRecord, Pair, Passage, Prompt, Turn
from mars_engine.core.review_records import ItemKind, ReviewAction, ReviewEvent
from mars_engine.curate.judging.deciding import JUDGE_POLICY
from mars_engine.curate.review import Decision, next_sequence, record_decisions
from mars_engine.embeddings.context import render_context
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.store import Store, open_store

DIMENSION = 24
SUFFIX_CARD = GeneratorCard("suffix", "1", {}, stand_in=True, note="adds a word")
REPLACING_CARD = GeneratorCard("replacing", "1", {}, stand_in=True, note="replaces")


class BagOfWordsEncoder:
    """Embeds a text as the normalised sum of pseudo-random vectors of its words; order of words does not matter."""

    fingerprint = "bag-of-words"
    depth = 0

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:  # noqa: ARG002
        vectors = np.array([text_vector(f"{each.context} {each.text}") for each in passages], dtype=np.float32)
        nothing = np.zeros(len(passages), dtype=np.int64)
        return Embeddings(vectors.reshape(-1, DIMENSION), nothing, nothing)

    def hidden_states(self, passages, states, *, progress) -> Embeddings:  # noqa: ARG002
        raise AssertionError("it has no hidden layers")

    def context_of(self, prompt: Prompt) -> str:
        return render_context(prompt)


@cache
def text_vector(text: str) -> np.ndarray:
    total = np.full(DIMENSION, 1e-3)
    for word in text.lower().split():
        total += _word_vector(word)
    return total / np.linalg.norm(total)


@cache
def _word_vector(word: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(DIMENSION)


class TickingClock:
    """Tells a later moment at every call."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class SuffixParaphraser:
    """Paraphrases by adding a numbered word; counts the texts it was asked for. Texts with "untouchable" fail."""

    card: GeneratorCard = SUFFIX_CARD
    asked: list[str] = field(default_factory=list)

    def paraphrase(self, requests: Sequence[ParaphraseRequest]) -> list[Generation]:
        self.asked += [request.key for request in requests]
        return [
            Generation(request.key, (), failure="it is untouchable")
            if "untouchable" in request.text
            else Generation(request.key, tuple(f"{request.text} v{n}" for n in range(1, request.count + 1)))
            for request in requests
        ]


@dataclass
class ReplacingRefiner:
    """Offers for the rejected side first a text that is no better, then quite another one; for the chosen side none."""

    card: GeneratorCard = REPLACING_CARD

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        return [
            Generation(request.key, (), failure="only the rejected side")
            if request.side == "chosen"
            else Generation(request.key, (request.chosen, f"entirely different matter {request.key}"))
            for request in requests
        ]


@dataclass
class MemoryShelf:
    """Keeps probes in memory."""

    models: dict[str, Probe] = field(default_factory=dict)
    described: dict[str, ModelEvidence] = field(default_factory=dict)

    def save(self, model: Probe) -> str:
        self.models[model.id] = model
        return model.id

    def holds(self, record: ModelRecord) -> bool:
        return record.id in self.models

    def load(self, record: ModelRecord) -> Probe:
        return self.models[record.id]

    def describe(self, record: ModelRecord, evidence: ModelEvidence) -> None:
        self.described[record.id] = evidence


@dataclass(frozen=True)
class ListSource:
    """Pairs from a list, as if from a file."""

    pairs: tuple[Pair, ...]
    name: str = "list"
    location: str = "list"
    format: str = "trl"

    @property
    def content_hash(self) -> str:
        return "-".join(pair.id[:6] for pair in self.pairs)

    def rows(self) -> list[ParsedRow]:
        return [ParsedRow(number, (pair,)) for number, pair in enumerate(self.pairs, start=1)]


GOOD = ("clear", "helpful", "exact", "kind", "short")
BAD = ("rude", "vague", "wrong", "rambling", "useless")


def make_pairs(count: int, *, seed: int = 0, first: int = 0, pairs_a_prompt: int = 1) -> tuple[Pair, ...]:
    """Return pairs whose chosen answers have more good words, with noise, so that a probe learns something."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(first, first + count):
        prompt = (
            Turn("user", f"question number {number // pairs_a_prompt} about topic {number // pairs_a_prompt % 7}"),
        )
        sides = [
            " ".join([*rng.choice(words, 3), *rng.choice(GOOD + BAD, 2), f"filler{rng.integers(40)}", f"n{number}"])
            for words in (GOOD, BAD)
        ]
        pairs.append(Pair.of(prompt, sides[0], sides[1], subset=f"s{number % 2}"))
    return tuple(pairs)


def make_bench(config: MarsConfig | None = None, *, url: str = "sqlite://") -> Workbench:
    """Return a workbench on an in-memory database and fakes, with the real probe."""
    config = config or MarsConfig()
    encoder = BagOfWordsEncoder()
    trainer = ProbeTrainer(config.probe, encoder)
    return Workbench(
        config=config,
        store=open_store(url),
        encoder=encoder,
        trainer=trainer,
        probe_trainer=trainer,
        shelf=MemoryShelf(),
        paraphraser=SuffixParaphraser(),
        refiner=ReplacingRefiner(),
        clock=TickingClock(),
        progress=SilentProgress(),
    )


def copy_database(source: Store, target: Store) -> None:
    """Overwrite an SQLite database with another's content."""
    opened = [store.database.engine.raw_connection() for store in (source, target)]
    opened[0].driver_connection.backup(opened[1].driver_connection)
    for connection in opened:
        connection.close()


def record_review(
    store: Store, kind: ItemKind, item_id: str, action: ReviewAction, *, annotator: str, clock: Clock, **said: Any
) -> ReviewEvent:
    """Store what a person decides about one item; `said` is what a decision says beside its action."""
    (event,) = record_decisions(store, kind, {item_id: Decision(action, **said)}, annotator=annotator, clock=clock)
    return event


def record_by_policy(store: Store, pair_ids: Iterable[str], action: ReviewAction, *, clock: Clock) -> None:
    """Store what the policy of a judge decides about labels."""
    at = clock()
    sequence = next_sequence(store, JUDGE_POLICY, at)
    store.reviews.append([ReviewEvent("pair", pair_id, action, JUDGE_POLICY, sequence, at) for pair_id in pair_ids])
