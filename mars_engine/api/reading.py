"""What a script hands to a workspace: sources of pairs, and decisions."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union, get_args

from mars_engine.api.checks import one_of
from mars_engine.core.errors import LoadError, MarsError
from mars_engine.core.records import Split
from mars_engine.curate.review import Decision
from mars_engine.data.import_parts import Parts, split_source
from mars_engine.data.loaders import ReadingOptions, open_source
from mars_engine.data.loaders.opening import PairSource, recognise
from mars_engine.data.loaders.options import COLUMN_TARGETS
from mars_engine.data.loaders.tables import open_table

if TYPE_CHECKING:
    import datasets
    import pandas as pd

Source = Union[str, os.PathLike[str], "pd.DataFrame", "datasets.Dataset"]
Decisions = Union[Mapping[str, str | Decision], "pd.DataFrame"]
COLUMNS_OF_DECISIONS = ("id", "action", "chosen", "rejected", "note")


def open_pairs(
    source: Source,
    *,
    name: str,
    format: str | None,
    columns: Mapping[str, str] | None,
    options: ReadingOptions | None,
) -> tuple[str, PairSource]:
    """Return what a source is called in errors, and the source opened.

    Raises:
        LoadError: it cannot be read, has no known format, or lacks a column that is named.
    """
    if columns is not None and options is not None:
        raise LoadError("both columns and options are given", remedy="say the columns in options alone")
    wrong = [target for target in columns or {} if target not in COLUMN_TARGETS]
    if wrong:
        raise LoadError(
            f"columns names {wrong[0]!r}",
            expected=f"a mapping from {', '.join(COLUMN_TARGETS)} to the names of your columns",
        )
    reading = options or ReadingOptions(columns=dict(columns or {}))
    if isinstance(source, str | os.PathLike):
        location = os.fspath(source)
        return location, open_source(location, format=format, options=reading)
    location = name or type(source).__name__
    return location, recognise(open_table(source, location), location, format=format, options=reading)


def open_parts(
    source: Source,
    *,
    split: Split | None,
    holdout: float | None,
    name: str,
    format: str | None,
    columns: Mapping[str, str] | None,
    options: ReadingOptions | None,
) -> tuple[str, Parts]:
    """Return what a source is called in errors, and its parts: one split, or the two of a hold-out.

    Raises:
        LoadError: as `open_pairs`.
        MarsError: the split is unknown, the fraction out of its range, or both are given.
    """
    if split is not None and holdout is not None:
        raise MarsError("split and holdout exclude each other", remedy="give one: holdout makes both parts")
    if split is not None:
        one_of("split", split, get_args(Split))
    if holdout is not None and not 0 < holdout < 1:
        raise MarsError(f"holdout is {holdout!r}", expected="a fraction between 0 and 1")
    location, opened = open_pairs(source, name=name, format=format, columns=columns, options=options)
    return location, split_source(opened, split=split, holdout=holdout)


def as_decisions(given: Decisions) -> dict[str, Decision]:
    """Return decisions by the ids of what they are about.

    Raises:
        MarsError: what is given is neither a mapping nor a DataFrame with the columns id and action, or decides about
            one item twice.
    """
    if isinstance(given, Mapping):
        return {str(key): each if isinstance(each, Decision) else _decision(each) for key, each in given.items()}
    names = [str(name) for name in getattr(given, "columns", ())]
    if not {"id", "action"} <= set(names):
        raise MarsError(
            f"the decisions have the columns {', '.join(names) or 'none'}",
            expected="a mapping from ids to actions, or a DataFrame with the columns id and action",
        )
    found: dict[str, Decision] = {}
    kept = [name for name in COLUMNS_OF_DECISIONS if name in names]
    for row in given[kept].to_dict("records"):
        cells = {name: value for name, value in row.items() if isinstance(value, str)}
        item_id = cells.pop("id", "")
        if item_id in found:
            raise MarsError(f"{item_id} is decided about twice", expected="one row for each id")
        found[item_id] = _decision(**cells)
    return found


def _decision(action: Any = None, **more: Any) -> Decision:
    if not isinstance(action, str):
        raise MarsError(f"{action!r} is no decision", expected="the name of an action, or a mars.Decision")
    return Decision(action, **more)  # type: ignore[arg-type]  # which actions there are is checked where it is stored
