"""The two tables that AlpacaEval's length control needs: prompts' difficulties, and the gamed runs."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mars_engine.align.alpaca.length_control import GamedRuns
from mars_engine.core.errors import LoadError
from mars_engine.core.records import FloatArray, IntArray

GAMED_FILE, DIFFICULTY_FILE = "df_gamed.csv", "instruction_difficulty.csv"
GAMED_COLUMNS = ("index", "preference", "std_delta_len", "instruction_difficulty")
WHERE = f"{GAMED_FILE} or {DIFFICULTY_FILE}, from the hub's set tatsu-lab/alpaca_eval"


@dataclass(frozen=True, slots=True)
class LengthTables:
    """What is known of a set's prompts, by their number from 0."""

    difficulties: FloatArray
    gamed: GamedRuns | None

    def difficulties_of(self, numbers: IntArray) -> FloatArray:
        """Return the difficulties of prompts, shape (n,).

        Raises:
            LoadError: the tables do not have one of them.
        """
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(self.difficulties)):
            raise LoadError(
                f"the tables know {len(self.difficulties)} prompts, and there is a prompt number {numbers.max()}",
                expected="the tables of these very prompts",
                remedy="leave out --tables where the prompts are not AlpacaEval's",
            )
        return self.difficulties[numbers]


def load_tables(folder: Path) -> LengthTables:
    """Read df_gamed.csv, or instruction_difficulty.csv alone.

    Raises:
        LoadError: neither is there, or one cannot be used.
    """
    if (folder / GAMED_FILE).is_file():
        return _load_gamed(folder / GAMED_FILE)
    path = folder / DIFFICULTY_FILE
    if not path.is_file():
        raise LoadError(f"{folder} has no table for length control", expected=WHERE)
    header, rows = _read(path)
    if len(header) < 2:
        raise LoadError(f"{path} has {len(header)} column", expected="a prompt's number and its difficulty")
    numbers = [int(_number(path, line, row[0])) for line, row in rows]
    return LengthTables(_by_number(path, numbers, [_number(path, line, row[1]) for line, row in rows]), None)


def _load_gamed(path: Path) -> LengthTables:
    header, rows = _read(path)
    missing = [name for name in GAMED_COLUMNS if name not in header]
    if missing:
        raise LoadError(f"{path} has no column {missing[0]!r}", expected=", ".join(GAMED_COLUMNS))
    places = [header.index(name) for name in GAMED_COLUMNS]
    numbers, preferences, lengths, difficulties = np.array(
        [[_number(path, line, row[place]) for place in places] for line, row in rows], dtype=np.float64
    ).T
    kept = ~np.isnan(preferences)
    return LengthTables(
        _by_number(path, numbers.astype(int).tolist(), difficulties.tolist()),
        GamedRuns(preferences[kept], lengths[kept], difficulties[kept]),
    )


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise LoadError(f"{path} cannot be read: {error}", expected=WHERE) from error
    if not rows:
        raise LoadError(f"{path} has no rows", expected=WHERE)
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise LoadError(f"line {line} of {path} has {len(row)} cells", expected=f"{len(header)}, as its first line")
    return header, list(enumerate(rows, start=2))


def _number(path: Path, line: int, cell: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError as error:
        raise LoadError(f"line {line} of {path} has {cell!r}", expected="a number") from error


def _by_number(path: Path, numbers: list[int], difficulties: list[float]) -> FloatArray:
    """Return difficulties in the order of the prompts' numbers, which must be 0, 1, 2, … without a gap."""
    first = dict(zip(reversed(numbers), reversed(difficulties), strict=True))
    if sorted(first) != list(range(len(first))):
        raise LoadError(f"the prompts in {path} are not numbered 0, 1, 2, … without a gap", expected=WHERE)
    found = np.array([first[number] for number in range(len(first))], dtype=np.float64)
    if np.isnan(found).any():
        raise LoadError(f"{path} has no difficulty for prompt {int(np.isnan(found).argmax())}", expected="a number")
    return found
