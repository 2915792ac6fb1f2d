"""Rows of files as they stand: JSON lines, JSON, separated text and Parquet, each also packed (see file_kinds.py).

A row that cannot be read is a value (`RawRow.problem`); a file that cannot be read raises LoadError. Memory is bounded
by a line or a batch, but for a JSON array, which is read as a whole and therefore bounded in size.
"""

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from mars_engine.core.errors import LoadError
from mars_engine.data.loaders.drafts import Row
from mars_engine.data.loaders.file_kinds import BOM, Kind, damaged, is_packed, kind_of, opened, separator_of

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

_SKIPPED_AT_A_TIME = 2**20


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as read, or the reason why it could not be. `number` is the line number, or counts rows from 1."""

    number: int
    row: Row | None
    problem: str = ""


Reader = Callable[[Path], Iterator[RawRow]]


def reader_of(path: Path) -> Reader:
    """Return the reader for a file by its first bytes, or by its extension where they leave it open.

    Raises:
        LoadError: it cannot be read, or is none of the known kinds.
    """
    return READERS[kind_of(path)]


def _json_line_rows(path: Path) -> Iterator[RawRow]:
    with opened(path) as stream:
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
    """Rows of a JSON file: an array, a table in one object, or, as often, JSON lines."""
    with opened(path) as stream:
        beginning = stream.read(2**16).removeprefix(BOM).lstrip()
        rest = stream.read(1)
    if beginning.startswith(b"["):
        return _json_array_rows(path)
    lines = beginning.split(b"\n")
    if not rest and len([line for line in lines if line.strip()]) == 1 and _table(_json_value(lines[0])) is None:
        return _json_line_rows(path)
    first = _json_value(lines[0])
    return (
        _json_line_rows(path) if isinstance(first, dict) and len(lines) > 1 and lines[1].strip() else _table_rows(path)
    )


def _json_value(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _json_array_rows(path: Path) -> Iterator[RawRow]:
    values = _whole_json(path, "one JSON array", "begins like a JSON array and is none")
    for number, value in enumerate(values, start=1):
        yield _row_of_object(number, value)


def _table_rows(path: Path) -> Iterator[RawRow]:
    """Rows of one JSON object that is a table: lists or numbered mappings of cells by column, or a list of rows."""
    value = _whole_json(path, "one JSON object", "begins like JSON and is none")
    rows = _table(value)
    for number, row in enumerate([value] if rows is None else rows, start=1):
        yield _row_of_object(number, row)


def _table(value: Any) -> list[Any] | None:
    """Return the rows of a table in one JSON object, None where it is none."""
    if not isinstance(value, dict) or not value:
        return None
    lists = [cells for cells in value.values() if isinstance(cells, list) and cells]
    of_rows = [cells for cells in lists if all(isinstance(cell, dict) for cell in cells)]
    if (
        len(value) >= 2
        and len(lists) == len(value)
        and len({len(cells) for cells in lists}) == 1
        and not _is_one_row(value)
    ):
        return [dict(zip(value, cells, strict=True)) for cells in zip(*lists, strict=True)]
    numbered = [cells for cells in value.values() if isinstance(cells, dict) and cells and all(map(str.isdigit, cells))]
    if len(numbered) == len(value) and len({tuple(cells) for cells in numbered}) == 1:
        return [{column: value[column][place] for column in value} for place in numbered[0]]
    if len(of_rows) == 1 and not _is_one_row(value):
        rows = of_rows[0]
        return [row["row"] for row in rows] if all(isinstance(row.get("row"), dict) for row in rows) else rows
    return None


def _is_one_row(value: Mapping[str, Any]) -> bool:
    """Whether an object is a pair of its own: it has turns, or a text beside its lists."""
    cells = [cell for cells in value.values() if isinstance(cells, list) for cell in cells if isinstance(cell, dict)]
    has_turns = any({"role", "content"} <= set(cell) or {"from", "value"} <= set(cell) for cell in cells)
    return has_turns or any(isinstance(value.get(name), str) for name in ("prompt", "instruction", "question"))


def _whole_json(path: Path, what: str, broken: str) -> Any:
    with opened(path) as stream:
        content = stream.read(LARGEST_ARRAY_BYTES + 1)
    if len(content) > LARGEST_ARRAY_BYTES:
        raise LoadError(
            f"{path} is {what} of more than {LARGEST_ARRAY_BYTES // 2**20} MiB",
            expected="JSON lines for data of that size",
            remedy="write one object to a line",
        )
    try:
        return json.loads(content.removeprefix(BOM).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{path} {broken}: {error}", remedy="write it anew, one object to a line") from error


def _csv_rows(path: Path) -> Iterator[RawRow]:
    """Rows of text with a header, separated as the header is; a row's number is that of its first line.

    A quote that is not closed can take many lines with it: each of them counts as a row that cannot be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE_BYTES))
    with opened(path) as stream:
        # Strict, because a lax reader takes everything after an unclosed quote for one cell.
        lines = _TextLines(stream)
        records = csv.reader(lines, delimiter=_separator(path), strict=True)
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


def _separator(path: Path) -> str:
    with opened(path) as stream:
        line = stream.readline(LONGEST_LINE_BYTES).removeprefix(BOM)
    return separator_of(line.decode("utf-8", "replace"))


def _csv_header(records: Iterator[list[str]], path: Path) -> list[str]:
    try:
        header = next(records, [])
    except (csv.Error, _UnreadableLine) as error:
        raise LoadError(
            f"the first line of {path} cannot be read: {error}", expected="a header that names the columns"
        ) from error
    if not all(map(_is_utf8, header)):
        raise LoadError(f"the first line of {path} cannot be read: {NOT_UTF8}", remedy="save the file as UTF-8")
    _validate_columns(header, path)
    return header


def _csv_row(number: int, header: Sequence[str], cells: Sequence[str]) -> RawRow:
    if not all(map(_is_utf8, cells)):
        return RawRow(number, None, NOT_UTF8)
    if len(cells) != len(header):
        return RawRow(number, None, WRONG_CELL_COUNT)
    return RawRow(number, dict(zip(header, cells, strict=True)))


def _is_utf8(text: str) -> bool:
    """Whether a text has no mark of a byte that is not UTF-8."""
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)


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
        # What is not UTF-8 is marked, not refused here: a cell of many lines would lose its closing quote with it.
        return line.decode("utf-8", "surrogateescape")


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with _on_disk(path) as plain, pq.ParquetFile(plain, page_checksum_verification=True) as file:
            _validate_columns(file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
                for row in _rows_of_batch(batch):
                    number += 1
                    yield RawRow(number, row, "" if row is not None else UNREADABLE_ROW)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(path, error) from error


@contextmanager
def _on_disk(path: Path) -> Iterator[Path | BinaryIO]:
    """Open a Parquet file, unpacked to the disk where it is packed: it is read from its end."""
    if not is_packed(path):
        yield path
        return
    with tempfile.TemporaryFile() as unpacked, opened(path) as stream:
        while block := stream.read(_SKIPPED_AT_A_TIME):
            unpacked.write(block)
        unpacked.seek(0)
        yield cast("BinaryIO", unpacked)


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
            yield number, line.removeprefix(BOM) if number == 1 else line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_SKIPPED_AT_A_TIME)
        yield number, None


READERS: Mapping[Kind, Reader] = {
    "json-lines": _json_line_rows,
    "json": _json_rows,
    "separated": _csv_rows,
    "parquet": _parquet_rows,
}
