"""Overview: what the first page shows of a workspace."""

from dataclasses import dataclass

import numpy as np

from mars_engine.words.config import MarsConfig
from mars_engine.words.protocols import Store
from mars_engine.words.records import FloatArray, ModelRecord, Run
from mars_engine.workflows.status import Status, workspace_status

MARGIN_BINS = 40
RUNS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class MarginHistogram:
    """How many training pairs have a margin in each bin; a bin edge lies at 0, so no bin mixes right and wrong."""

    model_label: str
    edges: FloatArray
    counts: FloatArray
    mis_ranked: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Overview:
    status: Status
    margins: MarginHistogram | None
    """Of the newest model that has scored training pairs; None where there is none."""
    runs: tuple[Run, ...]
    """The newest first."""


def workspace_overview(store: Store, *, config: MarsConfig) -> Overview:
    """Return the funnel, the margins of the training pairs under the newest model, and the newest runs."""
    return Overview(
        status=workspace_status(store, config=config),
        margins=_margins(store),
        runs=tuple(store.runs.all()[:RUNS_SHOWN]),
    )


def _margins(store: Store) -> MarginHistogram | None:
    pairs = store.pairs.pairs("train")
    for model in reversed(store.models.all()):
        rewards = store.models.scores(model.id)
        scored = [rewards[pair.id] for pair in pairs if pair.id in rewards]
        if scored:
            return _histogram(model, scored)
    return None


def _histogram(model: ModelRecord, scored: list[tuple[float, float]]) -> MarginHistogram:
    margins = np.array([chosen - rejected for chosen, rejected in scored], dtype=np.float64)
    edges = bin_edges(margins, MARGIN_BINS)
    counts, _ = np.histogram(margins, bins=edges)
    return MarginHistogram(model.label, edges, counts.astype(np.float64), int((margins < 0).sum()), len(margins))


def bin_edges(margins: FloatArray, bins: int) -> FloatArray:
    """Return equal-width bin edges that cover the margins, one of them exactly 0."""
    low, high = min(0.0, float(margins.min())), max(0.0, float(margins.max()))
    width = (high - low) / bins or 1.0
    # A hair wider than the margins, since first * width may round to just inside the lowest of them.
    first, last = np.floor(low / width - 1e-9), np.ceil(high / width + 1e-9)
    return np.arange(first, last + 1) * width
