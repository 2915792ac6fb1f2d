"""AlpacaEval's files: outputs of a model, annotations of a judge, and the leaderboard.

In a file a preference is 1 where the baseline's answer is better, 2 where the policy's is, 1.5 (of old: 0) for a tie,
and null where the judge failed. Rows of two files join on the exact instruction.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mars_engine.core.errors import LoadError, WorkspaceError
from mars_engine.core.whole_file import completed_file

OUTPUTS_FORM = 'a JSON list of {"instruction": …, "output": …, "generator": …}'
ANNOTATIONS_FORM = 'a JSON list of {"instruction": …, "output_1": …, "output_2": …, "preference": 1 to 2 or null, …}'
OLD_TIE, TIE = 0.0, 1.5
BASELINE_WINS, POLICY_WINS = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Output:
    """An answer to an instruction."""

    instruction: str
    output: str
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """A model's answers, one for each instruction."""

    generator: str
    rows: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A judgement of a policy's answer (2) beside the baseline's (1)."""

    instruction: str
    output_1: str
    generator_1: str
    output_2: str
    generator_2: str
    preference: float | None
    """From 1, the baseline's answer is better, to 2, the policy's is; None where the judge failed."""
    annotator: str = ""
    dataset: str = ""
    raw_completion: str | None = None
    """What the judge said, or why it failed."""
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)
    """Other columns of the row, as they were read."""

    @property
    def probability(self) -> float:
        """That the policy's answer is better; NaN where the judge failed."""
        return math.nan if self.preference is None else self.preference - 1.0

    @property
    def length_difference(self) -> int:
        """Characters of the baseline's answer minus the policy's."""
        return len(self.output_1) - len(self.output_2)


# -------------------------------------------------------------------------------------------------------------- reading


def load_outputs(path: Path, *, name: str = "") -> ModelOutputs:
    """Read a model's outputs.

    Args:
        path: a JSON list, or a line of JSON each (.jsonl).
        name: the model's name; that of the file's `generator` where it is empty.

    Raises:
        LoadError: the file cannot be read, a row has no instruction or output, an instruction stands there twice, or
            the model has no name or several.
    """
    rows = _load_rows(path, OUTPUTS_FORM)
    outputs = tuple(
        Output(
            _text(path, number, row, "instruction", OUTPUTS_FORM),
            _text(path, number, row, "output", OUTPUTS_FORM),
            str(row.get("dataset") or ""),
        )
        for number, row in enumerate(rows, start=1)
    )
    _require_once(path, [each.instruction for each in outputs])
    return ModelOutputs(name or _only_name(path, rows, "generator"), outputs)


def load_annotations(path: Path) -> tuple[Annotation, ...]:
    """Read a judge's annotations of one policy over one baseline, in the file's order.

    Raises:
        LoadError: the file cannot be read, a row lacks a column, a preference is out of its range, an instruction
            stands there twice, or the rows are of several policies or baselines.
    """
    rows = _load_rows(path, ANNOTATIONS_FORM)
    for name in ("generator_1", "generator_2"):
        _only_name(path, rows, name)
    found = tuple(_annotation(path, number, row) for number, row in enumerate(rows, start=1))
    _require_once(path, [each.instruction for each in found])
    return found


def _annotation(path: Path, number: int, row: Mapping[str, Any]) -> Annotation:
    texts = {
        name: _text(path, number, row, name, ANNOTATIONS_FORM)
        for name in ("instruction", "output_1", "generator_1", "output_2", "generator_2")
    }
    raw = row.get("raw_completion")
    known = {*texts, "preference", "annotator", "dataset", "raw_completion"}
    return Annotation(
        **texts,
        preference=_preference(path, number, row),
        annotator=str(row.get("annotator") or ""),
        dataset=str(row.get("dataset") or ""),
        raw_completion=raw if raw is None or isinstance(raw, str) else json.dumps(raw, ensure_ascii=False),
        columns={key: value for key, value in row.items() if key not in known},
    )


def _preference(path: Path, number: int, row: Mapping[str, Any]) -> float | None:
    if "preference" not in row:
        raise LoadError(f"row {number} of {path} has no 'preference'", expected=ANNOTATIONS_FORM)
    said = row["preference"]
    if said is None or (isinstance(said, float) and math.isnan(said)):
        return None
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise LoadError(f"row {number} of {path} has the preference {said!r}", expected="a number from 1 to 2, or null")
    preference = TIE if said == OLD_TIE else float(said)
    if not BASELINE_WINS <= preference <= POLICY_WINS:
        raise LoadError(
            f"row {number} of {path} has the preference {said!r}",
            expected="1 (the baseline is better) to 2 (the policy is), 1.5 for a tie, null where the judge failed",
        )
    return preference


def _load_rows(path: Path, form: str) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        is_lines = path.suffix.lower() == ".jsonl"
        rows = [json.loads(line) for line in text.splitlines() if line.strip()] if is_lines else json.loads(text)
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror}", expected=form) from error
    except ValueError as error:  # no UTF-8, no JSON
        raise LoadError(f"{path} is no JSON: {error}", expected=form) from error
    if not isinstance(rows, list) or not rows:
        raise LoadError(f"{path} holds no list of rows", expected=form)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise LoadError(f"row {number} of {path} is {type(row).__name__}, no object", expected=form)
    return rows


def _text(path: Path, number: int, row: Mapping[str, Any], name: str, form: str) -> str:
    if name not in row:
        raise LoadError(f"row {number} of {path} has no {name!r}", expected=form)
    if not isinstance(row[name], str):
        raise LoadError(f"row {number} of {path} has a {name!r} that is no text: {row[name]!r}", expected=form)
    return str(row[name])


def _only_name(path: Path, rows: Sequence[Mapping[str, Any]], name: str) -> str:
    names = list(dict.fromkeys(str(row.get(name) or "") for row in rows))
    if len(names) > 1:
        raise LoadError(f"{path} has several models as {name!r}: {', '.join(names)}", expected="one model a file")
    if not names[0]:
        raise LoadError(
            f"{path} does not name its model in {name!r}", remedy="give the model a name: --name, or that column"
        )
    return names[0]


def _require_once(path: Path, instructions: Sequence[str]) -> None:
    seen: set[str] = set()
    for number, instruction in enumerate(instructions, start=1):
        if instruction in seen:
            raise LoadError(
                f"row {number} of {path} repeats an instruction: {instruction[:80]!r}",
                expected="each instruction once, since rows join on it",
                remedy="leave one of the rows out",
            )
        seen.add(instruction)


# -------------------------------------------------------------------------------------------------------------- writing


def write_outputs(path: Path, outputs: ModelOutputs) -> None:
    """Write a model's outputs as AlpacaEval reads them.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    _write_json(
        path,
        [
            {
                "dataset": each.dataset,
                "instruction": each.instruction,
                "output": each.output,
                "generator": outputs.generator,
            }
            for each in outputs.rows
        ],
    )


def write_annotations(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write annotations as AlpacaEval does.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    _write_json(
        path,
        [
            {
                "instruction": each.instruction,
                "output_1": each.output_1,
                "generator_1": each.generator_1,
                "dataset": each.dataset,
                "output_2": each.output_2,
                "generator_2": each.generator_2,
                "annotator": each.annotator,
                "preference": each.preference,
                "raw_completion": each.raw_completion,
                **each.columns,
            }
            for each in annotations
        ],
    )


def _write_json(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    _write(path, json.dumps(rows, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with completed_file(path) as part:
            part.write_text(text, encoding="utf-8", newline="")
    except (OSError, UnicodeEncodeError) as error:
        raise WorkspaceError(
            f"{path} cannot be written: {error}", remedy="check its folder and the space on the disk"
        ) from error


# ---------------------------------------------------------------------------------------------------------- leaderboard

LEADERBOARD_COLUMNS = (
    "win_rate",
    "standard_error",
    "mode",
    "avg_length",
    "n_wins",
    "n_wins_base",
    "n_draws",
    "n_total",
    "discrete_win_rate",
    "length_controlled_winrate",
    "lc_standard_error",
)
"""Of the package, in its order; the model's name stands before them, under no name."""
TEXT_COLUMNS = frozenset({"mode", "length_control"})

Leaderboard = dict[str, dict[str, float | str]]
"""Each model's figures by column; a cell that is empty is left out."""


def load_leaderboard(path: Path) -> Leaderboard:
    """Read a leaderboard.

    Raises:
        LoadError: the file cannot be read, has no column win_rate, a figure is no number, or a model stands there
            twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise LoadError(f"{path} cannot be read as a leaderboard: {error}", expected="AlpacaEval's csv") from error
    if "win_rate" not in header[1:]:
        raise LoadError(f"{path} has no column 'win_rate'", expected="AlpacaEval's csv: a model's name, win_rate, …")
    found: Leaderboard = {}
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header) or row[0] in found:
            what = "repeats a model" if row and row[0] in found else f"has {len(row)} cells"
            raise LoadError(f"line {number} of {path} {what}", expected=f"each model once, {len(header)} cells a line")
        cells = zip(header[1:], row[1:], strict=True)
        found[row[0]] = {name: _cell(path, number, name, cell) for name, cell in cells if cell}
    return found


def _cell(path: Path, number: int, name: str, cell: str) -> float | str:
    if name not in LEADERBOARD_COLUMNS or name in TEXT_COLUMNS:
        return cell
    try:
        return float(cell)
    except ValueError as error:
        raise LoadError(f"line {number} of {path} has {cell!r} as {name}", expected="a number") from error


def write_leaderboard(path: Path, leaderboard: Leaderboard) -> None:
    """Write a leaderboard, the highest win rate first; columns that are not the package's stand behind its own.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    others = dict.fromkeys(name for row in leaderboard.values() for name in row if name not in LEADERBOARD_COLUMNS)
    columns = [*LEADERBOARD_COLUMNS, *others]
    ranked = sorted(leaderboard.items(), key=lambda each: -float(each[1].get("win_rate", -math.inf)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *columns])
    writer.writerows([name, *[_said(row.get(each)) for each in columns]] for name, row in ranked)
    _write(path, text.getvalue())


def _said(value: float | str | None) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)
