"""Which mapping of columns would read rows whose format is not recognised."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mars_engine.core.import_records import ColumnExample, SourceColumns
from mars_engine.data.loaders.cells import METADATA, TEXT_PROMPTS, WEAK_PROMPTS, is_blank, plain_name
from mars_engine.data.loaders.choices import STEMS
from mars_engine.data.loaders.values import ROLES, are_turns, decoded, is_turn, shortened, text_in

ONE_ANSWER = ("completion", "response", "output", "answer", "generation", "completions", "answers")
KNOWN_ROLES = frozenset(ROLES.values())

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


def suggested_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return which columns may be prompt, chosen and rejected; empty where no two suggest the sides."""
    texts = _text_columns(rows)
    rejected = _first(texts, _REJECTED_WORDS, ())
    chosen = _first([path for path in texts if path != rejected], _CHOSEN_WORDS, ())
    if not chosen or not rejected:
        return {}
    prompt = _prompt([path for path in texts if path not in (chosen, rejected)])
    return {**({"prompt": prompt} if prompt else {}), "chosen": chosen, "rejected": rejected}


def possible_mapping(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what to do with rows that no format fits, as a mapping to try where columns suggest one."""
    suggested, texts = suggested_columns(rows), _text_columns(rows)
    if suggested:
        mapping = ",".join(f"{target}={path}" for target, path in suggested.items())
        more = "" if "prompt" in suggested else ", with prompt= before it if a column is the prompt"
        return f"name the columns: --columns {mapping}{more}"
    answers = [path for path in texts if any(plain_name(path.rpartition(".")[2]).startswith(stem) for stem in STEMS)]
    if len(answers) >= 2:
        prompt = _prompt([path for path in texts if path not in answers])
        before = f"prompt={prompt}," if prompt else ""
        return (
            f"if {answers[0]} is always the better one, name the columns: "
            f"--columns {before}chosen={answers[0]},rejected={answers[1]}; else add a column that says which is the "
            f"better, such as 'winner'"
        )
    if {"message_id", "parent_id"} <= {plain_name(str(name)) for row in rows for name in row}:
        return "these are messages of a tree: write a row for each pair of answers to one message, the better as chosen"
    single = next((path for path in texts if plain_name(path) in ONE_ANSWER), None)
    if single:
        return f"each row has one answer, in {single!r}: put two answers to one prompt into a row, the better as chosen"
    if len(texts) >= 3:
        return f"name the columns: --columns prompt=…,chosen=…,rejected=…, with names out of {', '.join(texts[:12])}"
    return "rename the columns"


def columns_of(rows: Sequence[Mapping[str, Any]], *, suggested: Mapping[str, str]) -> SourceColumns:
    """Return the columns of rows, with the fields of columns that are structs, and the names of unknown roles."""
    counts, examples = Counter[str](), dict[str, str]()
    roles: dict[str, None] = {}
    for row in rows:
        for path, value in _cells(row, "", 0):
            counts[path] += 1
            examples.setdefault(path, shortened(value))
            for turn in value if are_turns(value := decoded(value, {})) else []:
                if isinstance(turn["role"], str) and turn["role"] not in KNOWN_ROLES:
                    roles.setdefault(turn["role"])
    columns = tuple(ColumnExample(path, count, examples[path]) for path, count in counts.items())
    return SourceColumns(columns, tuple(roles), suggested)


def _cells(value: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield what the cells of a row hold, and the fields of structs that are no turns; blank ones are left out."""
    for name, cell in value.items():
        if not isinstance(name, str) or any(mark in name for mark in ",=+") or is_blank(cell):
            continue
        if isinstance(cell, Mapping) and not is_turn(decoded(cell, {})) and depth < _DEEPEST:
            yield from _cells(cell, f"{path}{name}.", depth + 1)
        else:
            yield f"{path}{name}", cell


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
    others = [path for name, path in names.items() if name not in METADATA]
    return known or (others[0] if len(others) == 1 else None)
