"""What the engine talks about: pairs, passages, scores, plans, proposals, reviews, compositions, runs.

All records are frozen. Ids of pairs, proposals, models, plans and compositions are derived from content, so that doing
the same thing twice gives the same id and adds nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.notebook import ShownAsTable

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, Split] = ("train", "heldout")
Side = Literal["chosen", "rejected"]

ID_LENGTH = 24
"""Hexadecimal digits of an id: 96 bits, so that a collision among a billion pairs has a chance below 1e-10."""


def content_id(*parts: JsonValue) -> str:
    """Return the id of some content: the first 24 hexadecimal digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


# ---------------------------------------------------------------------------------------------------------- pairs


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a dialogue."""

    role: str
    content: str


Prompt = tuple[Turn, ...]


def same_text(text: str) -> str:
    """Return a text as ids are made of it: without blanks at its ends, and with LF as line ends.

    So a pair has one id however a tool has spelled it; the texts themselves are kept as read.
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def prompt_id(prompt: Prompt) -> str:
    """Return the id of a prompt; pairs with one prompt id are kept in one fold and one split."""
    return content_id(_said(prompt))


def as_paragraphs(prompt: Prompt) -> str:
    """Return a prompt as one text: its only turn as it is, several as paragraphs named by their roles."""
    if len(prompt) == 1:
        return prompt[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in prompt)


def _said(prompt: Sequence[Turn]) -> list[list[str]]:
    return [[turn.role, same_text(turn.content)] for turn in prompt]


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference pair. Build it with `Pair.of`, which derives the id from the content."""

    id: str
    prompt: Prompt
    chosen: str
    rejected: str
    subset: str = ""
    attributes: Mapping[str, JsonValue] = field(default_factory=dict, compare=False, hash=False)
    """What the source says about the pair beside its texts, e.g. `chosen_model`."""

    @classmethod
    def of(
        cls,
        prompt: Sequence[Turn],
        chosen: str,
        rejected: str,
        *,
        subset: str = "",
        attributes: Mapping[str, JsonValue] | None = None,
    ) -> "Pair":
        turns = tuple(prompt)
        identity = content_id(_said(turns), same_text(chosen), same_text(rejected))
        return cls(identity, turns, chosen, rejected, subset, dict(attributes or {}))

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt)

    @property
    def exchanged(self) -> "Pair":
        """The pair with its sides the other way round, under an id of its own and without attributes."""
        return Pair.of(self.prompt, self.rejected, self.chosen, subset=self.subset)


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to embed, alone or in its context. The context is cut from the left so that the text survives."""

    text: str
    context: str = ""


StateTokens = Literal["text", "all"]
Pooling = Literal["mean", "last"]


@dataclass(frozen=True, slots=True)
class HiddenState:
    """One vector that a passage's hidden states come to: of which layer, over which tokens, pooled in which way.

    Layer 0 is the word embeddings; special tokens never count. `last` is the state of the last of the tokens.
    """

    layer: int
    tokens: StateTokens = "text"
    pooling: Pooling = "mean"

    @property
    def name(self) -> str:
        return f"{self.pooling} of {self.tokens} at {self.layer}"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of passages, in their order: one row each, and how many tokens were cut from each.

    Sentence embeddings have unit length; hidden states have the length that they have.
    """

    vectors: Float32Array
    context_tokens_cut: IntArray
    text_tokens_cut: IntArray


# ------------------------------------------------------------------------------------------------------------- datasets


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """An imported source."""

    id: str
    name: str
    location: str
    format: str
    split: Split
    content_hash: str
    imported_at: datetime
    pair_count: int
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemovedContent:
    """What was removed from a workspace's database, or would be."""

    datasets: int
    pairs: int
    proposals: int
    decisions: int
    """Review events, those that were taken back and policies' included."""
    composed_pairs: int
    models: int
    evaluations: int
    """Benchmarks and experiments."""
    runs: int


@dataclass(frozen=True, slots=True)
class PairSet:
    """Source pairs that a person put together under a name: to check them first, or to find them again."""

    id: str
    name: str
    annotator: str
    created_at: datetime
    pairs: int


# ------------------------------------------------------------------------------------------------- reward models


@dataclass(frozen=True, slots=True)
class Rewards:
    """Rewards of the two sides of some pairs, in their order."""

    chosen: FloatArray
    rejected: FloatArray

    @property
    def margins(self) -> FloatArray:
        return self.chosen - self.rejected


@dataclass(frozen=True, slots=True)
class Truncation:
    """What a length limit cut from some pairs' passages (two a pair and kind of feature)."""

    passages: int
    contexts_cut: int
    """Passages that lost the beginning of their context; the response survived whole."""
    responses_cut: int
    """Passages whose response alone is longer than the limit, so that its end is not seen."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a reward model is fitted on.

    Attributes:
        pairs: n pairs.
        weights: weight of each pair in the loss, shape (n,), positive.
        label_confidence: probability that `chosen` really is the better side, shape (n,): 1 as labelled, 0 flipped,
            between them smoothed.
        source_of: where among `pairs` the source stands whose variant a pair is, -1 for a base pair; empty where
            there are no variants. A variant of a flipped source has its sides the right way round already.
        paraphrased: whether a pair's chosen and rejected side say what its source's say; false of a side that was
            refined, which is to differ from it. Empty where all do.
    """

    pairs: tuple[Pair, ...]
    weights: FloatArray
    label_confidence: FloatArray
    source_of: tuple[int, ...] = ()
    paraphrased: tuple[tuple[bool, bool], ...] = ()

    @classmethod
    def plain(cls, pairs: Sequence[Pair]) -> "TrainingSet":
        ones = np.ones(len(pairs), dtype=np.float64)
        return cls(tuple(pairs), ones, ones.copy())

    @property
    def fingerprint(self) -> str:
        rows = zip(self.pairs, self.weights.tolist(), self.label_confidence.tolist(), strict=True)
        return content_id([[pair.id, weight, confidence] for pair, weight, confidence in rows])


@dataclass(frozen=True, slots=True, eq=False)
class BradleyTerryFit:
    """A fit of a linear reward model, and what lets the next one, of nearly the same pairs, begin where it ended."""

    weights: FloatArray
    """w, shape (d,)."""
    curvature: FloatArray
    """Hessian of the penalised mean loss where it was last computed, shape (d, d); not always at the minimum."""


@dataclass(frozen=True, slots=True)
class ModelRecord(ShownAsTable):
    """A trained reward model. `composition_id` is empty for a warm-up, which is trained on base pairs alone."""

    id: str
    kind: str
    label: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    artifact: str
    composition_id: str
    round: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ModelEvidence:
    """What a reward model was trained on, and what it is worth on held-out pairs; known only after it was saved."""

    datasets: tuple[DatasetRecord, ...]
    """Of both splits."""
    heldout_pairs: int
    heldout_accuracy: float
    """Share of held-out pairs with a positive margin, ties 0.5; NaN without any."""
    heldout_log_loss: float
    """Mean −log σ(Δ) of the held-out pairs, in nats; NaN without any."""


TriageVerdict = Literal["clear", "hard", "suspected", "indistinct"]


@dataclass(frozen=True, slots=True)
class TriageRow:
    """A pair's out-of-fold margins over seeds, and what they say of its label."""

    pair_id: str
    margin_mean: float
    margin_std: float
    negative_share: float
    verdict: TriageVerdict


# -------------------------------------------------------------------------------------------- plans and proposals

GateVerdict = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One source pair in a plan: its share of the budget, its semantic distance and what the gate says of it."""

    pair_id: str
    margin: float
    probability: float
    budget: int
    distance: float
    gate: GateVerdict


@dataclass(frozen=True, slots=True)
class Plan(ShownAsTable):
    """A budget spent over source pairs under one model. `settings` and `summary` are plain JSON."""

    id: str
    model_id: str
    round: int
    law: str
    budget: int
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GeneratorCard:
    """Who wrote a text: shown wherever the text shows. `stand_in` marks generators made for demos and tests."""

    name: str
    version: str
    settings: Mapping[str, JsonValue]
    stand_in: bool
    note: str

    @property
    def fingerprint(self) -> str:
        return content_id(self.name, self.version, dict(self.settings))


@dataclass(frozen=True, slots=True)
class RefineTry:
    """One rewrite that was offered to sharpen a pair's contrast, or that none was offered, and what came of it.

    The tries of a pair are its trail: first those of the rejected side, then those of the chosen side, each side's up
    to the one that was kept.
    """

    source_id: str
    oriented_id: str
    """Id of the source pair as it was rewritten: differs from `source_id` where its label had been flipped."""
    settings_id: str
    position: int
    """Place in the trail, from 0."""
    side: Side
    generator: str
    """Name and version of who wrote it."""
    text: str | None
    """As it was offered; None where nothing was."""
    distance: float | None
    """From the other side's text; None where there is no text."""
    verdict: str
    """"kept", or why it was not."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """How a pair's contrast was sharpened: the text kept, and the trail of tries that led to it."""

    side: Side | None
    """The side that was rewritten; None where no try succeeded, and the pair counts as unrefined."""
    text: str
    distance_before: float
    distance_after: float
    trail: tuple[RefineTry, ...]


ProposalMethod = Literal["refined", "paraphrase", "refined+paraphrase"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed augmented pair of one source pair. A side that equals the source's text is listed as unchanged."""

    id: str
    source_id: str
    oriented_id: str
    """Id of the source pair as it was trained on: differs from `source_id` where its label had been flipped."""
    plan_id: str
    model_id: str
    settings_id: str
    method: ProposalMethod
    variant: int
    prompt: Prompt
    chosen: str
    rejected: str
    unchanged_sides: tuple[str, ...]
    generators: Mapping[str, Any]
    seed: int
    distance_before: float
    distance_after: float
    margin_before: float
    margin_after: float
    information_gain: float | None
    """None where the model that scored it is not linear, and cannot tell."""
    flags: tuple[str, ...]
    """Reasons of the quality gates that it fails; empty where it passes all."""

    def as_pair(self) -> Pair:
        return Pair.of(self.prompt, self.chosen, self.rejected)


@dataclass(frozen=True, slots=True)
class ProposalFailure:
    """Something a generator could not do for a source pair; kept and listed, never replaced by the original text."""

    source_id: str
    settings_id: str
    generator: str
    target: str
    """What was asked for: "prompt", "chosen", "rejected", or "refine chosen", "refine rejected"."""
    reason: str
    retryable: bool


# --------------------------------------------------------------------------------------------------- compositions


@dataclass(frozen=True, slots=True)
class ComposedPair:
    """A new pair and where it comes from. Its id is the pair's."""

    pair: Pair
    source_id: str
    method: str
    round: int
    distance: float
    margin: float
    """Under the model whose margins the budget was spent by."""
    chosen_from: str
    """Proposal id of the chosen text; empty where it is the source's own."""
    rejected_from: str


@dataclass(frozen=True, slots=True)
class Composition:
    """A set of new pairs for training, drawn from the approved variants under a plan."""

    id: str
    plan_id: str
    parent_id: str
    """The composition of the round before, whose pairs it contains too; empty for the first or when replacing."""
    round: int
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A pair to export, and its lineage. `margin` and `semantic_distance` are None where they are not known."""

    pair: Pair
    margin: float | None
    round: int
    source_id: str
    method: str
    semantic_distance: float | None
    weight: float = 1.0


# ----------------------------------------------------------------------------------------------------- evaluations

EvaluationKind = Literal["rewardbench", "rewardbench2", "experiment", "findings", "alpaca_eval", "advice", "alignment"]


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """What a benchmark or an experiment found. `settings` and `results` are plain JSON."""

    id: str
    kind: EvaluationKind
    model_id: str
    """The reward model that was evaluated: an id of the workspace's models, or of a foreign one; empty for none."""
    label: str
    settings: Mapping[str, Any]
    results: Mapping[str, Any]
    artifact: str
    """The folder with its files, relative to the workspace; empty where it has none."""
    created_at: datetime


# ------------------------------------------------------------------------------------------------------------ maps

MapKind = Literal["difference", "prompt", "chosen", "rejected"]
"""What a map shows a pair by: φ(chosen) − φ(rejected), its prompt, or one of its responses."""
MAP_KINDS: tuple[MapKind, ...] = ("difference", "prompt", "chosen", "rejected")


@dataclass(frozen=True, slots=True)
class MapCluster:
    """A region of a map, named by the words that tell its texts from the others', the most telling first."""

    number: int
    x: float
    y: float
    size: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MapPoints:
    """A map: where each of n pairs lies. Pairs placed later come last, and move none."""

    kind: MapKind
    ids: NDArray[np.bytes_]
    """Pair ids, ASCII (S24), in the order they were placed, shape (n,)."""
    x: Float32Array
    y: Float32Array
    cluster: NDArray[np.int16]
    """Number of each pair's cluster."""
    clusters: tuple[MapCluster, ...]
    """In the order of their numbers, 0, 1, …"""
    embeddings: NDArray[np.float16]
    """What was mapped, shape (n, d): unit length, but for differences. Read from the disk as it is used."""
    encoder: str
    """Fingerprint of the encoder."""
    fitted_on: int
    """How many pairs the map was fitted on; the others were placed into it."""
    settings: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.ids)


# ----------------------------------------------------------------------------------------------------------- runs

RunState = Literal["queued", "running", "finished", "failed", "cancelled", "lost"]


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of work with a beginning and an end, as `mars status` lists it.

    One that is queued has not begun: it has no process, and its times are those of its queueing.
    `progress` says how far it has come: {"task", "done", "total", "seconds"}, empty before the first report.
    `command` are the arguments of `mars` that do it again, and `log` the file with its output, relative to the
    workspace; both are empty for work that was not started as a job.
    """

    id: str
    kind: str
    state: RunState
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]
    error: str
    process_id: int
    process_started: float
    started_at: datetime
    heartbeat_at: datetime
    ended_at: datetime | None
    progress: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    log: str = ""
