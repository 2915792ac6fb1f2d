"""What a file is, by its first bytes; its name's extension decides only where these leave it open."""

import bz2
import csv
import gzip
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

from mars_engine.core.errors import LoadError
from mars_engine.data.loaders.cells import plain_name

Kind = Literal["json-lines", "json", "separated", "parquet"]

BOM = b"\xef\xbb\xbf"
SEPARATORS = (",", ";", "\t", "|")
EXTENSIONS: dict[str, Kind] = {
    ".jsonl": "json-lines",
    ".ndjson": "json-lines",
    ".json": "json",
    ".csv": "separated",
    ".tsv": "separated",
    ".parquet": "parquet",
}
PACKED = (".gz", ".gzip", ".zip", ".bz2", ".xz")

FOREIGN = (
    (b"ARROW1", "an Arrow file", "save it as Parquet or JSON lines"),
    (b"\xff\xff\xff\xff", "an Arrow stream, as `datasets` keeps them", "save it as Parquet or JSON lines"),
    (b"(\xb5/\xfd", "compressed by zstandard", "unpack it with zstd -d"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"SQLite format 3\0", "an SQLite database", "export its table as CSV or JSON lines"),
    (b"\xff\xfe\0\0", "UTF-32 text", "convert it to UTF-8: iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "fetch the data: git lfs pull"),
    (b"<!DOCTYPE", "a web page, not the data", "download the file itself"),
    (b"<!doctype", "a web page, not the data", "download the file itself"),
    (b"<html", "a web page, not the data", "download the file itself"),
    (b"%PDF", "a PDF", "export the data as CSV or JSON lines"),
    (b"\x80\x04", "a Python pickle, which is a program", "save the data as JSON lines"),
    (b"\x80\x05", "a Python pickle, which is a program", "save the data as JSON lines"),
    (b"\x93NUMPY", "a numpy array", "save the data as JSON lines"),
)
"""First bytes of what is not read, what that is, and what to do."""

_LOOKED_AT = 2**18
_KNOWN_COLUMNS = {"prompt", "question", "instruction", "chosen", "rejected", "response_1", "response_0", "response_a"}


def extension_of(path: Path) -> str:
    """Return the extension, two-part where the last part says that the file is packed, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] and suffixes[-1] in PACKED and suffixes[-2:-1] and suffixes[-2] in EXTENSIONS:
        return "".join(suffixes[-2:])
    return "".join(suffixes[-1:])


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked where its first bytes say that it is packed; what goes wrong is a LoadError.

    Of a zip the one file in it is read.

    Raises:
        LoadError: it cannot be read, is cut off, or is a zip of no or of several files.
    """
    try:
        with path.open("rb") as stream:
            beginning = stream.read(8)
            stream.seek(0)
            if beginning.startswith(b"\x1f\x8b"):
                with gzip.open(stream, "rb") as unpacked:
                    yield cast("BinaryIO", unpacked)
            elif beginning.startswith(b"BZh"):
                with bz2.open(stream, "rb") as unpacked:
                    yield cast("BinaryIO", unpacked)
            elif beginning.startswith(b"\xfd7zXZ\0"):
                with lzma.open(stream, "rb") as unpacked:
                    yield cast("BinaryIO", unpacked)
            elif beginning.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                with zipfile.ZipFile(stream) as archive, archive.open(_only_member(archive, path)) as unpacked:
                    yield cast("BinaryIO", unpacked)
            else:
                yield stream
    except (
        OSError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise damaged(path, error) from error


def is_packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\x03\x04", b"PK\x05\x06"))


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    names = [
        each
        for each in archive.infolist()
        if not each.is_dir()
        and not each.filename.startswith("__MACOSX/")
        and not Path(each.filename).name.startswith(".")
    ]
    if any(each.filename == "[Content_Types].xml" for each in names):
        raise LoadError(f"{path} is an office document", expected="a data file", remedy="save the table as CSV")
    if len(names) != 1:
        listed = ", ".join(each.filename for each in names[:8]) + (", …" if len(names) > 8 else "")
        raise LoadError(
            f"{path} is a zip of {len(names)} files{': ' if names else ''}{listed}",
            expected="a zip of one data file",
            remedy="unpack it, and import each file that holds pairs",
        )
    return names[0]


def damaged(path: Path, error: BaseException) -> LoadError:
    if isinstance(error, PermissionError):
        return LoadError(f"{path} may not be read", remedy="give yourself the right to read it")
    return LoadError(f"{path} cannot be read to its end: {error}", remedy="fetch or write it anew")


def kind_of(path: Path) -> Kind:
    """Return what a file is by its first bytes, else by its name.

    Raises:
        LoadError: it is none of what is read; the error names what it is, where its first bytes tell.
    """
    with opened(path) as stream:
        beginning = stream.read(_LOOKED_AT)
    if beginning.startswith(b"PAR1"):
        return "parquet"
    for mark, name, remedy in FOREIGN:
        if beginning.startswith(mark):
            raise LoadError(f"{path} is {name}", expected="JSON lines, JSON, CSV or Parquet", remedy=remedy)
    said = EXTENSIONS.get(next((each for each in reversed(_suffixes(path)) if each not in PACKED), ""))
    text = beginning.removeprefix(BOM).lstrip()
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        return "json" if said == "json" or not _is_object(text.split(b"\n", 1)[0]) else "json-lines"
    columns = _header(text)
    if (
        said in (None, "json-lines", "json")
        and len(columns) > 1
        and _KNOWN_COLUMNS & {plain_name(each) for each in columns}
    ):
        return "separated"
    if said is None:
        raise LoadError(
            f"{path} has the extension {path.suffix!r}, and does not begin like JSON, Parquet or separated text",
            expected=f"a file that ends in {', '.join(EXTENSIONS)}, also packed by gzip or zip",
            remedy="rename or convert it",
        )
    if said == "parquet" and beginning:
        raise LoadError(f"{path} is no Parquet file", expected="a file that begins with PAR1", remedy="write it anew")
    return said


def separator_of(line: str) -> str:
    """Return what separates the cells of a header: the separator that makes the most cells of it."""
    return max(SEPARATORS, key=lambda each: len(_cells(line, each)))


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _suffixes(path: Path) -> list[str]:
    return [suffix.lower() for suffix in path.suffixes]


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _header(text: bytes) -> list[str]:
    try:
        line = text.split(b"\n", 1)[0].decode("utf-8").rstrip("\r")
    except UnicodeDecodeError:
        return []
    return _cells(line, separator_of(line))
