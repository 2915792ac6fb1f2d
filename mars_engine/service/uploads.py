"""Uploaded files: kept in artifacts/uploads under safe names, each in a folder named by its content."""

import hashlib
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mars_engine.core.errors import LoadError, WorkspaceError
from mars_engine.core.whole_file import put_in_place
from mars_engine.workspace.workspace import ARTIFACTS, Workspace

UPLOADS = f"{ARTIFACTS}/uploads"
LARGEST_UPLOAD_MEBIBYTES = 200
"""The server holds an upload in memory while it arrives; larger files are imported by 'mars import'."""

LONGEST_NAME = 80
DIGEST_LENGTH = 12
_BYTES_AT_A_TIME = 2**20
_ENDING = re.compile(r"(\.[A-Za-z0-9]{1,10}){1,2}$", re.ASCII)
_KEY = re.compile(rf"[0-9a-f]{{{DIGEST_LENGTH}}}/[A-Za-z0-9][A-Za-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file. Its key, content digest and safe name, holds for as long as the file is kept."""

    key: str
    path: Path
    size_bytes: int


def save_upload(workspace: Workspace, name: str, content: BinaryIO) -> Upload:
    """Keep a file that was uploaded under any name; the same content under the same name is kept once.

    Raises:
        LoadError: it is empty or larger than LARGEST_UPLOAD_MEBIBYTES; nothing is kept.
        WorkspaceError: it cannot be written.
    """
    folder = workspace.root / UPLOADS
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digest = _write(content, part)
        key = f"{digest[:DIGEST_LENGTH]}/{safe_name(name)}"
        path = folder / key
        path.parent.mkdir(exist_ok=True)
        put_in_place(part, path)
    except OSError as error:
        raise WorkspaceError(
            f"the upload cannot be written to {folder}: {error}", remedy="check its permissions and the space left"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return Upload(key, path, path.stat().st_size)


def find_upload(workspace: Workspace, key: str) -> Upload | None:
    """Return the upload of a key; None where there is none, or the key is none."""
    if not _KEY.fullmatch(key):
        return None
    path = workspace.root / UPLOADS / key
    return Upload(key, path, path.stat().st_size) if path.is_file() else None


def forget_upload(workspace: Workspace, path: Path) -> None:
    """Delete an uploaded file; a file anywhere else is left alone."""
    folder = (workspace.root / UPLOADS).resolve()
    if path.is_absolute() and path.resolve().parent.parent == folder:
        shutil.rmtree(path.parent, ignore_errors=True)


def forget_uploads(workspace: Workspace) -> None:
    """Delete all uploaded files."""
    shutil.rmtree(workspace.root / UPLOADS, ignore_errors=True)


def safe_name(name: str) -> str:
    """Return an upload's name in letters, digits, dots and hyphens, leading nowhere, with the same extension."""
    base = PurePosixPath(name.replace("\\", "/")).name
    ending = _ENDING.search(base)
    kept = ending.group() if ending else ""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", base.removesuffix(kept)).strip("-")
    return f"{stem[: LONGEST_NAME - len(kept)].rstrip('-') or 'upload'}{kept}"


def _write(content: BinaryIO, part: Path) -> str:
    digest, size = hashlib.sha256(), 0
    with part.open("xb") as stream:
        while block := content.read(_BYTES_AT_A_TIME):
            size += len(block)
            if size > LARGEST_UPLOAD_MEBIBYTES * 2**20:
                raise LoadError(
                    f"the file is larger than {LARGEST_UPLOAD_MEBIBYTES} MiB",
                    remedy="pack it (.jsonl.gz), or run 'mars import FILE' on the machine that serves the app",
                )
            digest.update(block)
            stream.write(block)
    if not size:
        raise LoadError("the file is empty", expected="at least one preference pair", remedy="choose another file")
    return digest.hexdigest()
