"""Sources of several files: a folder or a pattern of shards; and about how many rows a file has."""

import re
from collections import Counter
from glob import glob
from pathlib import Path

from mars_engine.core.errors import LoadError
from mars_engine.core.file_names import MANIFEST_ENDING
from mars_engine.data.loaders.file_kinds import EXTENSIONS, PACKED, extension_of, is_packed, kind_of, opened

SAMPLE_BYTES = 2**20
_PATTERN = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"(\d+)")


def find_shards(location: str) -> list[Path] | None:
    """Return the files of a folder or a pattern, in the order of their names and of the numbers in them.

    None where the location is one file, or names none.

    Raises:
        LoadError: no file is there, or the folder has data files of several kinds.
    """
    path = Path(location)
    if path.is_dir():
        return _files_of_folder(path)
    if path.exists() or not _PATTERN.search(location):
        return None
    found = [Path(each) for each in glob(location, recursive=True)]  # noqa: PTH207 (the pattern may be absolute)
    files = [each for each in found if each.is_file() and not _is_manifest(each)]
    if not files:
        raise LoadError(f"no file matches {location!r}", remedy="check the pattern, and quote it: 'shards/*.jsonl.gz'")
    return sorted(files, key=_by_numbers)


def name_of_shards(location: str) -> str:
    """Return what a source of several files is called: its folder, or the pattern's part before its first sign."""
    path = Path(location)
    if path.is_dir():
        return path.resolve().name or "folder"
    plain = _PATTERN.split(path.name, maxsplit=1)[0].rstrip("-_. ")
    return plain or path.resolve().parent.name or "files"


def _files_of_folder(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.is_file() and _is_data(path)]
    kinds = Counter(extension_of(path) for path in files)
    if not files:
        raise LoadError(
            f"the folder {folder} has no file of pairs",
            expected=f"files that end in {', '.join(EXTENSIONS)}, also packed",
            remedy="name another folder, or a pattern such as 'folder/*/*.jsonl'",
        )
    if len(kinds) > 1:
        listed = ", ".join(f"{count:,} {extension}" for extension, count in kinds.most_common())
        raise LoadError(
            f"the folder {folder} has files of several kinds: {listed}",
            expected="one kind, so that nothing is taken for pairs that is none",
            remedy=f"name those you mean by a pattern: '{folder}/*{kinds.most_common(1)[0][0]}'",
        )
    return sorted(files, key=_by_numbers)


def _is_data(path: Path) -> bool:
    parts = extension_of(path).split(".")[1:]
    is_known = bool(parts) and f".{parts[0]}" in EXTENSIONS and all(f".{part}" in PACKED for part in parts[1:])
    return is_known and not path.name.startswith(".") and not _is_manifest(path)


def _is_manifest(path: Path) -> bool:
    return path.name.endswith(MANIFEST_ENDING)


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    """Sort shard-2 before shard-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(str(path))]


def estimate_rows(path: Path) -> int:
    """Return about how many rows a file has; 0 where that cannot be told without reading all of it.

    Parquet says it; of lines, the first MiB tells how long they are, also in gzip.
    """
    try:
        kind = kind_of(path)
        if kind == "parquet":
            return _rows_of_parquet(path)
        if kind == "json":
            return 0
        with opened(path) as stream:
            lines = stream.read(SAMPLE_BYTES).count(b"\n")
            of_file = getattr(stream, "fileobj", None) if is_packed(path) else stream  # of gzip, the packed file
            position = of_file.tell() if of_file is not None else 0
        return round(lines * path.stat().st_size / position) if position else 0
    except (LoadError, OSError):
        return 0  # reading it will say what is wrong


def _rows_of_parquet(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, ValueError):
        return 0
