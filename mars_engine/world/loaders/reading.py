"""Rows of files as they stand: JSON lines, one JSON array, CSV and Parquet, the first three also gzipped.

A row that cannot be read is a value (`RawRow.problem`); a file that cannot be read raises LoadError. Memory is bounded
by a line or a batch, but for a JSON array, which is read as a whole and therefore bounded in size.
"""

import csv
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from mars_engine.words.errors import LoadError
from mars_engine.world.loaders.drafts import Row, are_dialogues

LONGEST_LINE_BYTES = 16 * 2**20
LARGEST_ARRAY_BYTES = 512 * 2**20
PARQUET_BATCH_ROWS = 256

UNREADABLE_LINE = "unreadable line"
NOT_UTF8 = "text that is not UTF-8"
NOT_JSON = "line that is not JSON"
UNREADABLE_ROW = "unreadable row"
LINE_TOO_LONG = "line longer than 16 MiB"
NOT_AN_OBJECT = "not a JSON object"
WRONG_CELL_COUNT = "wrong number of cells"

_BOM = b"\xef\xbb\xbf"
_SKIPPED_AT_A_TIME = 2**20


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as read, or the reason why it could not be. `number` is the line number, or counts rows from 1."""

    number: int
    row: Row | None
    problem: str = ""


Reader = Callable[[Path], Iterator[RawRow]]


def reader_of(path: Path) -> Reader:
    """Return the reader for a file by its name's extension, without opening it.

    Raises:
        LoadError: the extension is none of the known ones.
    """
    extension = extension_of(path)
    if extension not in READERS:
        raise LoadError(
            f"{path} has the extension {path.suffix!r}",
            expected=f"a file that ends in {', '.join(READERS)}",
            remedy="rename or convert it",
        )
    return READERS[extension]


def extension_of(path: Path) -> str:
    """Return the extension, two-part where the last part is .gz, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def _json_line_rows(path: Path) -> Iterator[RawRow]:
    with _opened(path) as stream:
        for number, line in _bounded_lines(stream):
            if line is None:
                yield RawRow(number, None, LINE_TOO_LONG)
            elif line.strip():
                yield _json_row(number, line)


def _json_row(number: int, line: bytes) -> RawRow:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return RawRow(number, None, NOT_UTF8)
    except (ValueError, RecursionError):  # no JSON, an integer of thousands of digits, nested too deeply
        return RawRow(number, None, NOT_JSON)
    return _row_of_object(number, value)


def _row_of_object(number: int, value: Any) -> RawRow:
    return RawRow(number, value) if isinstance(value, dict) else RawRow(number, None, NOT_AN_OBJECT)


def _json_rows(path: Path) -> Iterator[RawRow]:
    """Rows of a .json file, which may be one array or, as often, JSON lines."""
    with _opened(path) as stream:
        beginning = stream.read(2**16).removeprefix(_BOM).lstrip()
    return _json_array_rows(path) if beginning.startswith(b"[") else _json_line_rows(path)


def _json_array_rows(path: Path) -> Iterator[RawRow]:
    with _opened(path) as stream:
        content = stream.read(LARGEST_ARRAY_BYTES + 1)
    if len(content) > LARGEST_ARRAY_BYTES:
        raise LoadError(
            f"{path} is one JSON array of more than {LARGEST_ARRAY_BYTES // 2**20} MiB",
            expected="JSON lines for data of that size",
            remedy="write one object to a line",
        )
    try:
        values = json.loads(content.removeprefix(_BOM).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise LoadError(
            f"{path} begins like a JSON array and is none: {error}", remedy="write it anew, one object to a line"
        ) from error
    for number, value in enumerate(values, start=1):
        yield _row_of_object(number, value)


def _csv_rows(path: Path) -> Iterator[RawRow]:
    """Rows of a CSV file with a header; a row's number is that of its first line.

    A quote that is not closed can take many lines with it: each of them counts as a row that cannot be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE_BYTES))
    with _opened(path) as stream:
        # Strict, because a lax reader takes everything after an unclosed quote for one cell.
        lines = _TextLines(stream)
        records = csv.reader(lines, strict=True)
        header = _csv_header(records, path)
        while True:
            number = lines.taken + 1
            try:
                cells = next(records)
            except StopIteration:
                return
            except (csv.Error, _UnreadableLine) as problem:
                for lost in range(number, lines.taken):
                    yield RawRow(lost, None, UNREADABLE_LINE)
                yield RawRow(lines.taken, None, getattr(problem, "reason", UNREADABLE_LINE))
            else:
                if cells:
                    yield _csv_row(number, header, cells)


def _csv_header(records: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = next(records, [])
    except (csv.Error, _UnreadableLine) as error:
        raise LoadError(
            f"the first line of {path} cannot be read: {error}", expected="a header that names the columns"
        ) from error
    _validate_columns(header, path)
    return header


def _csv_row(number: int, header: Sequence[str], cells: Sequence[str]) -> RawRow:
    if len(cells) != len(header):
        return RawRow(number, None, WRONG_CELL_COUNT)
    return RawRow(number, {column: _decoded_cell(cell) for column, cell in zip(header, cells, strict=True)})


def _decoded_cell(cell: str) -> Any:
    """Return the list that a cell holds as JSON, if of turns or of scored completions; any other cell is text."""
    if not cell.startswith("["):
        return cell
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return value if are_dialogues(value) or _are_completions(value) else cell


def _are_completions(value: Any) -> bool:
    return bool(value) and all(isinstance(item, Mapping) and "response" in item for item in value)


class _UnreadableLine(Exception):  # noqa: N818 - a verdict on a line
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _TextLines:
    """Lines as text. Unlike a generator it goes on after the exception of a line that cannot be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = _bounded_lines(stream)
        self.taken = 0

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        self.taken, line = next(self._lines)
        if line is None:
            raise _UnreadableLine(LINE_TOO_LONG)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _UnreadableLine(NOT_UTF8) from error


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _validate_columns(file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
                for row in _rows_of_batch(batch):
                    number += 1
                    yield RawRow(number, row, "" if row is not None else UNREADABLE_ROW)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _damaged(path, error) from error


def _rows_of_batch(batch: Any) -> list[Row | None]:
    """Return the rows of a batch, None for one whose values cannot be converted, such as text that is not UTF-8."""
    try:
        return cast("list[Row | None]", batch.to_pylist())
    except (ValueError, OverflowError):
        return [_row_of_slice(batch.slice(index, 1)) for index in range(batch.num_rows)]


def _row_of_slice(batch: Any) -> Row | None:
    try:
        return cast("Row", batch.to_pylist()[0])
    except (ValueError, OverflowError):
        return None


def _validate_columns(columns: Sequence[str], path: Path) -> None:
    repeated = sorted(column for column, count in Counter(columns).items() if count > 1)
    if repeated:
        raise LoadError(f"{path} names the columns {repeated!r} more than once", remedy="keep one of each")


def _bounded_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield line numbers and lines, None for a line that is too long: it is never held in memory as a whole."""
    number = 0
    while line := stream.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        if len(line) <= LONGEST_LINE_BYTES:
            yield number, line.removeprefix(_BOM) if number == 1 else line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_SKIPPED_AT_A_TIME)
        yield number, None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, gzipped where its name says so; whatever goes wrong while it is read is a LoadError."""
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            yield cast("BinaryIO", stream)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> LoadError:
    if isinstance(error, PermissionError):
        return LoadError(f"{path} may not be read", remedy="give yourself the right to read it")
    return LoadError(f"{path} cannot be read to its end: {error}", remedy="fetch or write it anew")


READERS: Mapping[str, Reader] = {
    ".jsonl": _json_line_rows,
    ".jsonl.gz": _json_line_rows,
    ".ndjson": _json_line_rows,
    ".ndjson.gz": _json_line_rows,
    ".json": _json_rows,
    ".json.gz": _json_rows,
    ".csv": _csv_rows,
    ".csv.gz": _csv_rows,
    ".parquet": _parquet_rows,
}
