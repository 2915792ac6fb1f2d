"""Rows of a table in memory as a source: a pandas DataFrame, or a Dataset of the library `datasets`."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from mars_engine.core.errors import LoadError
from mars_engine.data.loaders.hub import hub_rows
from mars_engine.data.loaders.opening import OpenedRows
from mars_engine.data.loaders.reading import RawRow


def open_table(table: Any, name: str) -> OpenedRows:
    """Open a DataFrame or a Dataset for its rows; the same content has the same hash, whatever its index is.

    Args:
        table: a pandas DataFrame, or a Dataset of `datasets`.
        name: what its pairs are imported as.

    Raises:
        LoadError: it is neither, or two of its columns have one name.
    """
    kind = {each.__name__ for each in type(table).__mro__}
    if "DataFrame" in kind and hasattr(table, "columns"):
        columns = [str(column) for column in table.columns]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise LoadError(f"{name} has several columns named {twice[0]!r}", expected="each name once")
        read: Callable[[], Iterator[RawRow]] = partial(_frame_rows, table, columns)
    elif "Dataset" in kind and hasattr(table, "column_names"):
        read = partial(_dataset_rows, table)
    else:
        splits = f" with the splits {', '.join(map(str, table))}; name one of them" if "DatasetDict" in kind else ""
        raise LoadError(
            f"a {type(table).__name__} is no source of pairs{splits}",
            expected="a path, hub:owner/name, a pandas DataFrame or a datasets.Dataset",
        )
    return OpenedRows(name, _content_hash(read), read, len(table))


def _frame_rows(frame: Any, columns: list[str]) -> Iterator[RawRow]:
    for number, values in enumerate(frame.itertuples(index=False, name=None), start=1):
        yield RawRow(number, {name: _plain(value) for name, value in zip(columns, values, strict=True)})


def _dataset_rows(dataset: Any) -> Iterator[RawRow]:
    for raw in hub_rows(dataset):
        yield RawRow(raw.number, {name: _plain(value) for name, value in (raw.row or {}).items()})


def _content_hash(read: Callable[[], Iterator[RawRow]]) -> str:
    digest = hashlib.sha256()
    for raw in read():
        line = json.dumps(raw.row, ensure_ascii=False, sort_keys=True, default=str)
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Return a cell as JSON would hold it: arrays as lists, and what is missing (NaN, NaT, NA) as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value
