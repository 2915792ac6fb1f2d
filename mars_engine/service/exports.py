"""Exports that the app makes: each in a process of its own, kept in artifacts/exports for download."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from mars_engine.core.clock import Clock
from mars_engine.data.export import ExportWhat
from mars_engine.data.exporter import ExportShape
from mars_engine.jobs.own_process import ask_mars
from mars_engine.service.selection_export import EXPORTS
from mars_engine.workspace.workspace import Workspace

WHATS: tuple[ExportWhat, ...] = get_args(ExportWhat)
SHAPES: tuple[ExportShape, ...] = get_args(ExportShape)
ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
HistoryEnding = Literal[".csv", ".jsonl"]
MANIFEST = ".manifest.json"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file in artifacts/exports. `manifest` says where its pairs come from; a label history has none."""

    path: Path
    manifest: Path | None
    size_bytes: int
    made_at: datetime


def export_for_training(
    workspace: Workspace, what: ExportWhat, *, shape: ExportShape, ending: str, clock: Clock
) -> ExportedFile:
    """Write pairs as a training file with its manifest; see `mars export`.

    Raises:
        MarsError: there is nothing of that kind, or it cannot be written in that shape.
    """
    path = _new_path(workspace, f"{what}-{shape}", ending, clock)
    ask_mars(workspace.root, ["export", "--what", what, "--shape", shape, "--", str(path)])
    return _described(path)


def export_history(workspace: Workspace, *, ending: HistoryEnding, clock: Clock) -> ExportedFile:
    """Write the label history; see `mars history`.

    Raises:
        MarsError: it cannot be written.
    """
    path = _new_path(workspace, "label-history", ending, clock)
    ask_mars(workspace.root, ["history", "--", str(path)])
    return _described(path)


def list_exports(workspace: Workspace) -> list[ExportedFile]:
    """Return the exported files, the newest first."""
    found = (workspace.artifacts / EXPORTS).glob("[!.]*")
    files = [_described(path) for path in found if path.is_file() and not path.name.endswith(MANIFEST)]
    return sorted(files, key=lambda file: file.made_at, reverse=True)


def _new_path(workspace: Workspace, name: str, ending: str, clock: Clock) -> Path:
    # By its whole path: the process that writes it works in the workspace's folder.
    folder = workspace.artifacts.resolve() / EXPORTS
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{clock():%Y%m%d-%H%M%S-%f}{ending}"


def _described(path: Path) -> ExportedFile:
    facts = path.stat()
    manifest = path.with_name(f"{path.name}{MANIFEST}")
    made_at = datetime.fromtimestamp(facts.st_mtime, UTC)
    return ExportedFile(path, manifest if manifest.is_file() else None, facts.st_size, made_at)
