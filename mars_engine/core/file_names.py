"""Names of files: whether they are text, and short enough for the disk."""

import os
from pathlib import Path

MANIFEST_ENDING = ".manifest.json"
"""Of the manifests that exports have beside them: they hold no pairs."""

USUAL_LONGEST_NAME = 255


def fault_of_name(path: Path, *, suffix: str = "") -> str:
    """Say what is wrong with a file's name; empty where nothing is.

    Args:
        path: the file, which need not be there.
        suffix: what a file that is written beside it adds to its name.
    """
    try:
        length = len(f"{path.name}{suffix}".encode())
    except UnicodeEncodeError:
        return f"the file name {path.name!r} is not UTF-8"
    longest = _longest_name(path.parent)
    if length > longest:
        beside = f" with its {suffix}" if suffix else ""
        return f"the file name {path.name[:40]!r}… has {length} bytes{beside}, and its folder takes {longest}"
    return ""


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):  # no such folder, or a system that does not tell
        return USUAL_LONGEST_NAME
