"""Import whole sources into a workspace: their parts by split, and what all pairs then say against themselves."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from mars_engine.core.clock import Clock
from mars_engine.core.import_records import ImportReport
from mars_engine.core.progress import Progress
from mars_engine.core.records import SPLITS, Split
from mars_engine.data.findings import MOST_AT_IMPORT, is_current, look_for_findings, newest_findings
from mars_engine.data.holdout import HoldoutPart
from mars_engine.data.import_pairs import (
    ImportPreview,
    import_held_out,
    import_pairs,
    preview_held_out,
    preview_import,
    validate_some_kept,
)
from mars_engine.data.loaders.opening import PairSource
from mars_engine.store import Store

Parts = Sequence[tuple[PairSource, Split]]
"""Sources, and the split that the pairs of each go to."""


def split_source(source: PairSource, *, split: Split | None = None, holdout: float | None = None) -> Parts:
    """Return a source as it is to be imported: all into one split, or that fraction of its prompts held out."""
    if holdout is not None:
        return [(HoldoutPart(source, holdout, part), part) for part in SPLITS]
    return [(source, split or "train")]


def import_parts(
    store: Store, location: str, parts: Parts, *, clock: Clock, progress: Progress, may_be_empty: bool
) -> list[ImportReport]:
    """Import the parts of a source, a report each.

    Args:
        store: takes the pairs.
        location: what the source is called where nothing of it can be used.
        parts: what to import, and where to.
        clock: tells when a dataset was imported.
        progress: shows how far the reading has come.
        may_be_empty: whether one part may get no pair, as a part of few prompts may.

    Raises:
        LoadError: the source cannot be read, or no part has a usable pair.
    """
    if held_out := _parts_of_one_source(parts):
        reports = import_held_out(held_out, store, clock=clock, progress=progress)
    else:
        reports = [
            import_pairs(part, store, split=split, clock=clock, progress=progress, may_be_empty=may_be_empty)
            for part, split in parts
        ]
    validate_some_kept(location, reports)
    return reports


def preview_parts(
    store: Store, location: str, parts: Parts, *, progress: Progress, may_be_empty: bool
) -> list[ImportPreview]:
    """Return what `import_parts` would do, a preview each; nothing is stored.

    Raises:
        LoadError: as `import_parts`.
    """
    if held_out := _parts_of_one_source(parts):
        previews = preview_held_out(held_out, store, progress=progress)
    else:
        previews = [
            preview_import(part, store, split=split, progress=progress, may_be_empty=may_be_empty)
            for part, split in parts
        ]
    validate_some_kept(location, [preview.report for preview in previews])
    return previews


def _parts_of_one_source(parts: Parts) -> list[HoldoutPart]:
    """Return the parts where they are of a source that is divided, to be read once; none where all are whole."""
    return [part for part, _ in parts if isinstance(part, HoldoutPart)]


def look_after_import(
    store: Store, reports: list[ImportReport], *, clock: Clock, progress: Progress
) -> list[ImportReport]:
    """Look for findings unless that was done or the pairs are too many, and return the reports, the last with them."""
    pairs = sum(store.pairs.count(split) for split in SPLITS)
    found = newest_findings(store)
    if found is None or not is_current(store, found):
        if pairs > MOST_AT_IMPORT:
            return reports
        found = look_for_findings(store, clock=clock, progress=progress)
    return [*reports[:-1], replace(reports[-1], findings=asdict(found))]
