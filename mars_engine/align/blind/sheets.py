"""Answer sheets: files of one policy's answers, in AlpacaEval's format, that keep whole prompts beside it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mars_engine.align.alpaca.formats import load_outputs
from mars_engine.align.blind.comparing import AnswerSheet, sheet_of
from mars_engine.core.errors import LoadError
from mars_engine.core.plain_json import turns_as_json
from mars_engine.core.records import Prompt, Turn, as_paragraphs
from mars_engine.core.whole_folder import replace_text

TURNS = "prompt"
"""Column of a prompt's turns; AlpacaEval's `instruction` is one text."""


def write_sheet(path: Path, name: str, answers: Iterable[tuple[Prompt, str]]) -> None:
    """Write a policy's answers. The instruction of a prompt of several turns is all of them, a paragraph each.

    Raises:
        ModelError: the file cannot be written.
    """
    rows = [
        {
            "instruction": as_paragraphs(prompt),
            "output": answer,
            "generator": name,
            TURNS: turns_as_json(prompt),
        }
        for prompt, answer in answers
    ]
    replace_text(path, json.dumps(rows, ensure_ascii=False, indent=1))


def load_sheet(path: Path, *, name: str = "") -> AnswerSheet:
    """Read a policy's answers: a sheet, or any file of outputs in AlpacaEval's format.

    Args:
        path: the file.
        name: the policy's name; that of the file's `generator` where it is empty.

    Raises:
        LoadError: as `load_outputs`.
    """
    outputs = load_outputs(path, name=name)
    turns = _turns_of(path)
    if len(turns) != len(outputs.rows):
        return sheet_of(outputs)
    answers = {prompt: row.output for prompt, row in zip(turns, outputs.rows, strict=True)}
    return AnswerSheet(outputs.generator, answers)


def _turns_of(path: Path) -> list[Prompt]:
    """Return the prompts of a sheet; none where the file is no sheet of ours."""
    if path.suffix != ".json":
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    if not all(isinstance(row.get(TURNS), list) for row in rows):
        return []
    try:
        return [tuple(Turn(str(turn["role"]), str(turn["content"])) for turn in row[TURNS]) for row in rows]
    except (TypeError, KeyError) as error:
        raise LoadError(
            f"{path} has a {TURNS!r} that is no list of turns",
            expected='a list of {"role": …, "content": …}',
            remedy=f"correct it, or take {TURNS!r} out: then the instruction counts",
        ) from error
