"""Export: base pairs, as triage and people treat them, and composed pairs, with where each comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import Composition, ExportRow
from mars_engine.data.sources import Source, load_sources, standing_pairs, triage_of_composition
from mars_engine.store import Store

ExportWhat = Literal["training-set", "composed", "base", "heldout"]


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """What is to be written, and the manifest beside it."""

    rows: tuple[ExportRow, ...]
    manifest: dict[str, Any]


def select_for_export(store: Store, what: ExportWhat, *, config: MarsConfig) -> ExportSelection:
    """Return the rows to export: the whole training set, its composed or base part, or the held-out pairs.

    A base pair that was left out is not exported; a flipped one is exported with its sides exchanged; one whose
    label is smoothed or ambiguous keeps its sides and says its weight, 2p − 1 for a label confidence of p.

    Raises:
        NotReadyError: there is nothing of that kind yet.
    """
    composition = store.compositions.latest()
    sources = load_sources(store, triage_of_composition(store, composition) if composition else config.triage)
    rows: list[ExportRow] = []
    if what == "heldout":
        rows = [ExportRow(pair, None, 0, pair.id, "original", None, 1.0) for pair in store.pairs.pairs("heldout")]
    if what in ("training-set", "base"):
        rows = list(_base_rows(store, sources))
    if what in ("training-set", "composed"):
        rows += list(_composed_rows(store, composition, sources)) if composition else []
    if not rows or (what == "composed" and composition is None):
        raise NotReadyError(f"there is nothing to export as {what!r}", remedy="see 'mars status' for the next step")
    manifest = {
        "what": what,
        "composition": composition.id if composition and what in ("training-set", "composed") else "",
        "settings": config.model_dump(exclude={"database_url"}),
        "datasets": [
            {"name": dataset.name, "format": dataset.format, "split": dataset.split, "sha256": dataset.content_hash}
            for dataset in store.pairs.datasets()
        ],
    }
    return ExportSelection(tuple(rows), manifest)


def _base_rows(store: Store, sources: Sequence[Source]) -> Iterator[ExportRow]:
    model = store.models.latest()
    rewards = store.models.scores(model.id) if model else {}
    for source in sources:
        if not source.treatment.trained_on:
            continue
        chosen_and_rejected = rewards.get(source.pair.id)
        margin = None
        if chosen_and_rejected is not None:
            margin = (chosen_and_rejected[0] - chosen_and_rejected[1]) * (-1 if source.flipped else 1)
        yield ExportRow(source.oriented, margin, 0, source.pair.id, "original", None, _weight(source))


def _composed_rows(store: Store, composition: Composition, sources: Sequence[Source]) -> Iterator[ExportRow]:
    weights = {source.pair.id: _weight(source) for source in sources}
    for row in standing_pairs(store, composition.id, sources):
        weight = weights[row.source_id]
        yield ExportRow(row.pair, row.margin, row.round, row.source_id, row.method, row.distance, weight)


def _weight(source: Source) -> float:
    """2p − 1 for a label confidence of p; a flipped pair is exported the right way round, so it is sure."""
    return 1.0 if source.flipped else 2 * source.treatment.label_confidence - 1
