"""The map of a training: which pairs it never learned, forgot or wavered on, by the margins kept after each epoch.

Margins are signed by the label that the model was trained on, unlike those of the pair index and of stored rewards,
which are of the sides as imported: a pair that was flipped before the training is right where the model prefers the
side that the flip made the better one, a pair that was dropped before it is not on the map. What people have decided
since moves nothing, for it was not what the model learned.
"""

import csv
from dataclasses import dataclass
from typing import Literal, TextIO, get_args

import numpy as np

from mars_engine.core.columns import IdArray
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import BoolArray, FloatArray, IntArray, ModelRecord
from mars_engine.reward_models.cartography import Cartography, map_training
from mars_engine.reward_models.model_labels import models_named, with_distinct_labels
from mars_engine.store import Store

Telling = Literal["never learned", "most forgotten", "most variable"]
TELLING: tuple[Telling, ...] = get_args(Telling)

POINTS_AT_MOST = 20_000
HOW_TO_KEEP = "fine-tune a transformer with 'trajectory': 'mars train --backbone packaged --reward-model-trajectory'"


@dataclass(frozen=True, eq=False, slots=True)
class TrainingMap:
    """The dynamics of a training on its n base pairs, the most telling first.

    These are the ones never learned, the least confidence first; then those forgotten most often; then those that
    varied most. With early stopping, the pairs that it set aside are among them, though they were not trained on.
    """

    model: ModelRecord
    pair_ids: IdArray
    margins: FloatArray
    """After each epoch, signed by the label trained on, in reward units, shape (n, epochs)."""
    places: Cartography

    def __len__(self) -> int:
        return len(self.pair_ids)

    @property
    def epochs(self) -> int:
        return int(self.margins.shape[1])

    @property
    def always_right(self) -> BoolArray:
        """Which pairs were ranked right after every epoch."""
        return np.asarray(self.places.correctness == 1)

    @property
    def ambiguous(self) -> BoolArray:
        """Which pairs were ranked right after some epochs and not after others."""
        return ~(self.places.never_learned | self.always_right)

    @property
    def forgotten_once(self) -> BoolArray:
        """Which pairs were forgotten at least once."""
        return np.asarray(self.places.forgotten > 0)

    def telling(self, which: Telling) -> IntArray:
        """Return where the pairs of a list stand here, the most telling first."""
        places = self.places
        kept, keys = {
            "never learned": (places.never_learned, (places.confidence,)),
            "most forgotten": (self.forgotten_once, (places.confidence, -places.forgotten)),
            "most variable": (places.variability > 0, (-places.variability,)),
        }[which]
        order = np.lexsort(keys)
        return order[kept[order]]

    def to_draw(self, most: int = POINTS_AT_MOST) -> IntArray:
        """Return which pairs of a training to draw: all, or one tenth the most telling and nine tenths an even sample.

        More of the most telling would end in an edge on the map that the training has not.
        """
        if len(self) <= most:
            return np.arange(len(self))
        first = most // 10
        return np.concatenate([np.arange(first), np.linspace(first, len(self) - 1, most - first).astype(np.int64)])


@dataclass(frozen=True, slots=True)
class TrainingMapSummary:
    """How many pairs a training forgot, never learned, or ranked now right and now wrong."""

    model_label: str
    model_id: str
    epochs: int
    pairs: int
    forgotten: int
    """Ranked right after an epoch and not after the next, at least once."""
    never_learned: int
    """Ranked right after no epoch."""
    ambiguous: int
    """Ranked right after some epochs and not after others."""


def mapped_models(store: Store) -> list[ModelRecord]:
    """Return the models whose training kept margins, the newest last, by labels that tell them apart."""
    return with_distinct_labels(store.models.with_trajectories())


def choose_mapped_model(store: Store, name: str = "") -> ModelRecord:
    """Return the model with this id or label whose training kept margins; without a name, the newest.

    Raises:
        NotReadyError: there is none.
    """
    models = store.models.with_trajectories()
    if not models:
        raise NotReadyError("no training has kept its margins after each epoch", remedy=HOW_TO_KEEP)
    found = models_named(models, name) if name else models
    if not found:
        known = ", ".join(f"{model.label} ({model.id})" for model in models)
        raise NotReadyError(f"the training of no model {name!r} has kept its margins", expected=f"one of {known}")
    return found[-1]


def map_model(store: Store, model: ModelRecord) -> TrainingMap:
    """Return the map of a model's training.

    Raises:
        NotReadyError: its margins after each epoch were not kept, or their pairs are gone.
    """
    kept = store.models.trajectories(model.id)
    if not kept:
        raise NotReadyError(f"{model.label} has no margins after each epoch", remedy=HOW_TO_KEEP)
    ids = np.array([pair_id.encode("ascii") for pair_id in kept], dtype=np.bytes_)
    margins = np.array(list(kept.values()), dtype=np.float64)
    drawn = map_training(margins)
    within = np.where(drawn.never_learned, drawn.confidence, -drawn.variability)
    order = np.lexsort((ids, within, -drawn.forgotten, ~drawn.never_learned))
    return TrainingMap(model, ids[order], margins[order], map_training(margins[order]))


def summarize_map(found: TrainingMap) -> TrainingMapSummary:
    return TrainingMapSummary(
        model_label=found.model.label,
        model_id=found.model.id,
        epochs=found.epochs,
        pairs=len(found),
        forgotten=int(found.forgotten_once.sum()),
        never_learned=int(found.places.never_learned.sum()),
        ambiguous=int(found.ambiguous.sum()),
    )


def write_map(found: TrainingMap, stream: TextIO) -> None:
    """Write a row a pair as CSV, the most telling first, with figures in full and its margin after each epoch."""
    table = csv.writer(stream, lineterminator="\n")
    after = (f"score_margin_after_epoch_{epoch}" for epoch in range(1, found.epochs + 1))
    table.writerow(["pair_id", "confidence", "variability", "correctness", "forgotten", "never_learned", *after])
    places = found.places
    columns = (places.confidence, places.variability, places.correctness, places.forgotten, places.never_learned)
    for pair_id, *row, margins in zip(
        found.pair_ids.tolist(), *(column.tolist() for column in columns), found.margins.tolist(), strict=True
    ):
        table.writerow([pair_id.decode(), *row, *margins])
