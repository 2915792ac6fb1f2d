"""Opening a source: find its reader, recognise its format, and hand out its rows."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

from mars_engine.core.errors import LoadError
from mars_engine.core.file_names import fault_of_name
from mars_engine.core.import_records import ParsedRow, SourceColumns
from mars_engine.core.records import content_id
from mars_engine.core.whole_file import read_sha256
from mars_engine.data.loaders.cells import Cells, columns_in, literal_columns
from mars_engine.data.loaders.choices import validate_labels
from mars_engine.data.loaders.file_kinds import extension_of
from mars_engine.data.loaders.formats import FORMAT_NAMES, Format, formats_under
from mars_engine.data.loaders.hub import PREFIX, hub_rows, load_hub_set, parse_address
from mars_engine.data.loaders.options import Preference, ReadingOptions
from mars_engine.data.loaders.reading import RawRow, reader_of
from mars_engine.data.loaders.shards import estimate_rows, find_shards, name_of_shards
from mars_engine.data.loaders.suggestions import columns_of, possible_mapping, suggested_columns

ROWS_LOOKED_AT = 100
"""How many readable rows decide the format."""

_LISTED_COLUMNS = 20
_LISTED_ROWS = 5


class PairSource(Protocol):
    """A file or hub set of pairs, opened and its format recognised: what an import reads."""

    @property
    def name(self) -> str: ...

    @property
    def location(self) -> str: ...

    @property
    def format(self) -> str: ...

    @property
    def content_hash(self) -> str:
        """Digest of the content and of how it is read, so that other options give another dataset."""
        ...

    def rows(self) -> Iterator[ParsedRow]:
        """Yield every row, with its pairs or the reasons why it gave none."""
        ...


@runtime_checkable
class CountedSource(Protocol):
    """A source that knows about how many rows it has, so that one can say how long reading them takes."""

    @property
    def expected_rows(self) -> int:
        """About how many rows there are; 0 where that cannot be told."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source whose format is known. `content_hash` is the file's SHA-256, or the hub set's fingerprint, and the
    preference it is read by, where that matters."""

    name: str
    location: str
    format: str
    content_hash: str
    layout: Format
    read: Callable[[], Iterator[RawRow]]
    expected_rows: int = 0

    def rows(self) -> Iterator[ParsedRow]:
        """Yield every row, with its pairs or the reasons why it gave none; can be called again.

        Raises:
            LoadError: the file proves to be damaged further on.
        """
        for raw in self.read():
            if raw.row is None:
                yield ParsedRow(raw.number, dropped=(raw.problem,))
            else:
                yield self.layout.parsed(raw.number, raw.row)


@dataclass(frozen=True, slots=True)
class OpenedRows:
    """A file or hub set whose rows can be read, of whatever format. `read` can be called again."""

    name: str
    content_hash: str
    """The file's SHA-256, or the hub set's fingerprint."""
    read: Callable[[], Iterator[RawRow]]
    expected_rows: int = 0
    """About how many there are; 0 where that cannot be told."""


def open_source(
    location: str,
    *,
    format: str | None = None,
    preference: Preference = "better",
    options: ReadingOptions | None = None,
) -> PairSource:
    """Open a file of preference pairs or a hub set, and recognise its format by its first 100 readable rows.

    Args:
        location: a path, whose first bytes say what it is (JSON lines, a JSON array, separated text, Parquet, each also
            in gzip or a zip of one file); a folder or a pattern of such files, read one after the other; or
            hub:owner/name[:subset][@split][#revision], where hub:./folder loads a local folder.
        format: one of FORMAT_NAMES, to be taken instead of the recognised one; rows of another are dropped.
        preference: which of PKU-SafeRLHF's two labels decides, where `options` are not given.
        options: how rows are read where their columns do not say it.

    Raises:
        LoadError: the source cannot be read, is empty, has no known format or a mixture of several, or lacks a column
            that the options name.
    """
    chosen = options or ReadingOptions(preference=preference)
    _layouts_named(format, formats_under(chosen))
    return recognise(open_rows(location), location, format=format, options=chosen)


def recognise(opened: OpenedRows, location: str, *, format: str | None, options: ReadingOptions) -> OpenedSource:
    """Return opened rows as a source of pairs; see `open_source`.

    Raises:
        LoadError: they are empty, have no known format or a mixture of several, or lack a column that is named.
    """
    chosen = options
    layouts = _layouts_named(format, formats_under(chosen))
    layout = _recognised_layout(opened.read(), layouts, location, chosen)
    content_hash = opened.content_hash
    if layout.name == "pku-saferlhf":
        content_hash = f"{content_hash}:{chosen.preference}"
    if changes := chosen.changes():
        content_hash = f"{content_hash}:{content_id(changes)}"
    return OpenedSource(opened.name, location, layout.name, content_hash, layout, opened.read, opened.expected_rows)


def source_columns(location: str) -> SourceColumns:
    """Return the columns of a source by its first 100 readable rows, for a person to say what is what.

    Raises:
        LoadError: it cannot be read, or has no readable row.
    """
    sample, first_problem = _sample(open_rows(location).read())
    if not sample:
        raise _nothing_readable(location, first_problem)
    rows = [raw.row for raw in sample if raw.row is not None]
    layouts = formats_under(ReadingOptions())
    is_known = any(_layout_of(raw, layouts) is not None for raw in sample)
    return columns_of(rows, suggested={} if is_known else suggested_columns(rows))


def open_rows(location: str) -> OpenedRows:
    """Open a file or a hub set, as `open_source` names them, for its rows as they stand.

    Raises:
        LoadError: it cannot be read.
    """
    if location.startswith(PREFIX):
        address = parse_address(location)
        dataset = load_hub_set(address, location)
        return OpenedRows(address.name, str(dataset._fingerprint), partial(hub_rows, dataset), len(dataset))
    path = Path(location)
    shards = find_shards(location)
    return _open_file(path) if shards is None else _join_shards(location, shards)


def _open_file(path: Path) -> OpenedRows:
    if fault := fault_of_name(path):
        raise LoadError(fault, remedy="rename the file")
    content_hash = _file_hash(path)
    return OpenedRows(_stem(path), content_hash, partial(reader_of(path), path), estimate_rows(path))


def _join_shards(location: str, files: Sequence[Path]) -> OpenedRows:
    """Open several files as one source, in their order; rows are numbered on through all of them."""
    shards = [_open_file(path) for path in files]

    def read() -> Iterator[RawRow]:
        first = 0
        for shard in shards:
            last = 0
            for raw in shard.read():
                last = raw.number
                yield replace(raw, number=first + raw.number)
            first += last

    content_hash = content_id("shards", *[shard.content_hash for shard in shards])
    expected = [shard.expected_rows for shard in shards]
    return OpenedRows(name_of_shards(location), content_hash, read, sum(expected) if all(expected) else 0)


def _layouts_named(name: str | None, layouts: Sequence[Format]) -> Sequence[Format]:
    if name is None:
        return layouts
    named = [layout for layout in layouts if layout.name == name]
    if not named:
        raise LoadError(f"there is no format {name!r}", expected=f"one of {', '.join(FORMAT_NAMES)}")
    return named


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(extension_of(path))]


def _file_hash(path: Path) -> str:
    try:
        if not path.exists():
            raise LoadError(f"there is no file {path}", remedy="check the path")
        if not path.is_file():
            raise LoadError(f"{path} is not a file", expected="one file", remedy="name a file in it, or use hub:FOLDER")
        return read_sha256(path)
    except PermissionError as error:
        raise LoadError(f"{path} may not be read", remedy="give yourself the right to read it") from error
    except (OSError, ValueError) as error:
        raise LoadError(f"{path} cannot be read: {error}", remedy="check the path") from error


def _recognised_layout(
    raw_rows: Iterator[RawRow], layouts: Sequence[Format], location: str, options: ReadingOptions
) -> Format:
    """Return the format of a source; of a format's layouts, the one that most rows have."""
    sample, first_problem = _sample(raw_rows)
    if not sample:
        raise _nothing_readable(location, first_problem)
    _validate_mapped_columns(location, sample, options)
    literal = literal_columns([raw.row for raw in sample if raw.row is not None])
    layouts = [replace(layout, literal=literal) for layout in layouts]
    matches = [(raw, layout) for raw in sample if (layout := _layout_of(raw, layouts)) is not None]
    if not matches:
        raise _unrecognised(location, sample, layouts)
    rows_by_format: dict[str, list[int]] = {}
    for raw, layout in matches:
        rows_by_format.setdefault(layout.name, []).append(raw.number)
    if len(rows_by_format) > 1:
        raise _mixture(location, rows_by_format)
    if "two-responses" in rows_by_format:
        validate_labels([Cells(raw.row, options) for raw, _ in matches if raw.row is not None], location)
    return Counter(layout for _, layout in matches).most_common(1)[0][0]


def _validate_mapped_columns(location: str, sample: Sequence[RawRow], options: ReadingOptions) -> None:
    for given in (options.columns, options.scores):
        for target, path in given.items():
            wanted = [part.strip() for part in path.split("+")]
            missing = [part for part in wanted if not any(columns_in(part, raw.row or {}) for raw in sample)]
            if missing:
                raise LoadError(
                    f"{location} has no column {missing[0]!r}, which was named for {target}",
                    expected=f"one of its columns: {_listed_columns(sample)}",
                    remedy="correct the name",
                )


def _sample(raw_rows: Iterator[RawRow]) -> tuple[list[RawRow], RawRow | None]:
    """Return the first readable rows, and the first that is not readable."""
    problems: list[RawRow] = []

    def readable() -> Iterator[RawRow]:
        for raw in raw_rows:
            if raw.row is not None:
                yield raw
            elif not problems:
                problems.append(raw)

    return list(islice(readable(), ROWS_LOOKED_AT)), problems[0] if problems else None


def _layout_of(raw: RawRow, layouts: Sequence[Format]) -> Format | None:
    return next((layout for layout in layouts if raw.row is not None and layout.recognises(raw.row)), None)


def _nothing_readable(location: str, first_problem: RawRow | None) -> LoadError:
    if first_problem is None:
        return LoadError(f"{location} has no rows", expected="at least one preference pair")
    return LoadError(
        f"no row of {location} can be read; the first, row {first_problem.number}: {first_problem.problem}",
        expected="UTF-8 text in the format that the file's extension says",
        remedy="write the file anew in that format, or give it the extension of the format that it has",
    )


def _unrecognised(location: str, sample: Sequence[RawRow], layouts: Sequence[Format]) -> LoadError:
    needs = "; ".join(f"{layout.name}: {layout.needs}" for layout in layouts if "mars_" not in layout.needs)
    return LoadError(
        f"{location} has no format that is known: its columns are {_listed_columns(sample)}",
        expected=f"the columns of one format, filled as that format fills them ({needs})",
        remedy=possible_mapping([raw.row for raw in sample if raw.row is not None]),
    )


def _listed_columns(sample: Sequence[RawRow]) -> str:
    columns = [str(name) for name in dict.fromkeys(column for raw in sample for column in raw.row or {})]
    listed = ", ".join(repr(column[:60]) for column in columns[:_LISTED_COLUMNS])
    more = f" and {len(columns) - _LISTED_COLUMNS} more" if len(columns) > _LISTED_COLUMNS else ""
    return f"{listed or 'none'}{more}"


def _mixture(location: str, rows_by_format: dict[str, list[int]]) -> LoadError:
    parts = []
    for name, rows in rows_by_format.items():
        listed = ", ".join(str(row) for row in rows[:_LISTED_ROWS])
        parts.append(f"{name} in {len(rows)} rows ({listed}{', …' if len(rows) > _LISTED_ROWS else ''})")
    return LoadError(
        f"{location} is a mixture of formats: {'; '.join(parts)}",
        expected="one format in a source",
        remedy="split it, or name the format, and rows of another are dropped",
    )
