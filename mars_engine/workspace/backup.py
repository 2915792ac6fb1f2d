"""Backups: a workspace's settings, database and models in one archive. Unpacked, it is a workspace again."""

import tarfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from mars_engine.augment.generators.chat.prompts import OWN_FOLDER
from mars_engine.core.clock import Clock
from mars_engine.core.config import update_toml
from mars_engine.core.errors import MarsError, WorkspaceError
from mars_engine.core.file_names import fault_of_name
from mars_engine.core.whole_file import completed_file
from mars_engine.store import Store
from mars_engine.workspace.workspace import ARTIFACTS, CONFIG_FILE, DATABASE_FILE, Workspace

BACKUPS = f"{ARTIFACTS}/backups"
KEPT_ARTIFACTS = (
    *("models", "probe-features.json", "rewardbench", "experiments", "keys.json"),
    *("align/answers", "align/best-of-n", "align/comparisons", "align/policies", "alpaca-eval"),
)
"""Embeddings and maps are made again where they are missed; uploads, exports and logs are no part of a backup."""

ENDINGS = (".tar.gz", ".zip")


@dataclass(frozen=True, slots=True)
class Backup:
    """An archive of a workspace."""

    path: Path
    size_bytes: int
    made_at: datetime


def make_backup(workspace: Workspace, store: Store, path: Path | None = None, *, clock: Clock) -> Backup:
    """Write a copy of a workspace as one archive; it appears when it is complete, or not at all.

    The database is copied as it is at one moment, while others may go on writing, and every model that it knows is in
    the archive. All stands in one folder, named as the archive. The archive's mars.toml names no database, so that a
    workspace unpacked from it never opens the one it was copied from.

    Args:
        workspace: what to copy.
        store: its open store.
        path: the archive, .tar.gz or .zip; None for a new one in artifacts/backups.
        clock: tells the name of a new one.

    Raises:
        MarsError: the path has another ending or exists already.
        StoreError: the database is PostgreSQL's, whose copies pg_dump makes.
        WorkspaceError: the archive cannot be written.
    """
    target = path or _new_path(workspace, clock())
    ending = _ending(target)
    try:
        if path is None:
            target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
            # The database first: a model's files are there before the database knows of it.
            store.copy_to(Path(folder) / DATABASE_FILE)
            (Path(folder) / CONFIG_FILE).write_text(_config_without_database(workspace), encoding="utf-8")
            with completed_file(target) as part:
                _pack(part, ending, target.name.removesuffix(ending), Path(folder), workspace)
    except OSError as error:
        raise WorkspaceError(
            f"the backup {target} cannot be written: {error}",
            remedy="check that its folder exists, its permissions, and the space on the disk",
        ) from error
    return _described(target)


def list_backups(workspace: Workspace) -> list[Backup]:
    """Return the complete backups in artifacts/backups, the newest first."""
    found = [path for path in (workspace.root / BACKUPS).glob("[!.]*") if path.name.endswith(ENDINGS)]
    return sorted((_described(path) for path in found), key=lambda backup: backup.made_at, reverse=True)


def _new_path(workspace: Workspace, now: datetime) -> Path:
    return workspace.root / BACKUPS / f"backup-{now:%Y%m%d-%H%M%S-%f}{ENDINGS[0]}"


def _ending(path: Path) -> str:
    ending = next((ending for ending in ENDINGS if path.name.endswith(ending)), "")
    if not ending:
        raise MarsError(f"{path} has no ending that is known", expected=f"one of {', '.join(ENDINGS)}")
    if fault := fault_of_name(path):
        raise MarsError(fault, remedy="choose another name")
    if path.exists():
        raise MarsError(f"{path} exists already", remedy="name another file")
    return ending


def _config_without_database(workspace: Workspace) -> str:
    text = (workspace.root / CONFIG_FILE).read_text(encoding="utf-8")
    return update_toml(text, workspace.config.model_copy(update={"database_url": ""}))


def _pack(archive: Path, ending: str, top: str, folder: Path, workspace: Workspace) -> None:
    members = [(path, f"{top}/{path.name}") for path in sorted(folder.iterdir())]
    members += [(path, f"{top}/{path.relative_to(workspace.root).as_posix()}") for path in _kept_files(workspace)]
    if ending == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as packed:
            for path, name in members:
                packed.write(path, name)
    else:
        with tarfile.open(archive, "w:gz", compresslevel=6) as packed_tar:
            for path, name in members:
                packed_tar.add(path, name, recursive=False)


def _kept_files(workspace: Workspace) -> list[Path]:
    """Files of the kept artifacts, and the workspace's own prompts; what is hidden is still being written."""
    found = [*(workspace.artifacts / name for name in KEPT_ARTIFACTS), workspace.root / OWN_FOLDER]
    files = [file for path in found for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    is_visible = {
        file: not any(part.startswith(".") for part in file.relative_to(workspace.root).parts) for file in files
    }
    return [file for file in files if file.is_file() and is_visible[file]]


def _described(path: Path) -> Backup:
    facts = path.stat()
    return Backup(path, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))
