"""Which mapping of columns would read rows whose format is not recognised."""

from collections.abc import Mapping, Sequence
from typing import Any

from mars_engine.world.loaders.cells import TEXT_PROMPTS, WEAK_PROMPTS, plain_name
from mars_engine.world.loaders.choices import STEMS
from mars_engine.world.loaders.values import are_turns, decoded, text_in

_CHOSEN_WORDS = (
    "chosen",
    "best",
    "better",
    "good",
    "prefer",
    "win",
    "positive",
    "accept",
    "pos",
    "strong",
    "correct",
    "right",
)
_REJECTED_WORDS = (
    "reject",
    "worst",
    "worse",
    "bad",
    "dispreferred",
    "los",
    "negative",
    "neg",
    "weak",
    "wrong",
    "incorrect",
)
_DEEPEST = 3


def possible_mapping(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what to do with rows that no format fits, as a mapping to try where columns suggest one."""
    texts = _text_columns(rows)
    rejected = _first(texts, _REJECTED_WORDS, ())
    chosen = _first([path for path in texts if path != rejected], _CHOSEN_WORDS, (rejected or "",))
    rest = [path for path in texts if path not in (chosen, rejected)]
    if chosen and rejected:
        prompt = _prompt(rest)
        mapping = ",".join(filter(None, (prompt and f"prompt={prompt}", f"chosen={chosen}", f"rejected={rejected}")))
        return f"name the columns: --columns {mapping}" + (
            "" if prompt else ", with prompt= before it if one is the prompt"
        )
    answers = [path for path in texts if any(plain_name(path.rpartition(".")[2]).startswith(stem) for stem in STEMS)]
    if len(answers) >= 2:
        prompt = _prompt([path for path in texts if path not in answers])
        before = f"prompt={prompt}," if prompt else ""
        return (
            f"if {answers[0]} is always the better one, name the columns: "
            f"--columns {before}chosen={answers[0]},rejected={answers[1]}; else add a column that says which is the "
            f"better, such as 'winner'"
        )
    if len(texts) >= 3:
        return f"name the columns: --columns prompt=…,chosen=…,rejected=…, with names out of {', '.join(texts[:12])}"
    return (
        "preference pairs need a chosen and a rejected answer in each row; where the file has them, rename the columns"
    )


def _text_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths of columns that hold texts or turns in some row, in their order."""
    found: dict[str, None] = {}
    for row in rows:
        _collect(row, "", found, 0)
    return list(found)


def _collect(value: Mapping[str, Any], path: str, found: dict[str, None], depth: int) -> None:
    for name, cell in value.items():
        if not isinstance(name, str) or any(mark in name for mark in ",=+"):
            continue
        meant = decoded(cell, {})
        if are_turns(meant) or (isinstance(meant, str) and meant.strip()) or isinstance(text_in(meant), str):
            found.setdefault(f"{path}{name}")
        elif isinstance(meant, Mapping) and depth < _DEEPEST:
            _collect(meant, f"{path}{name}.", found, depth + 1)


def _first(paths: Sequence[str], words: Sequence[str], without: Sequence[str]) -> str | None:
    for word in words:
        for path in paths:
            name = plain_name(path.rpartition(".")[2])
            parts = name.split("_")
            if path not in without and any(part.startswith(word) for part in parts):
                return path
    return None


def _prompt(paths: Sequence[str]) -> str | None:
    names = {plain_name(path.rpartition(".")[2]): path for path in paths}
    known = next((names[name] for name in (*TEXT_PROMPTS, *WEAK_PROMPTS) if name in names), None)
    return known or (paths[0] if len(paths) == 1 else None)
