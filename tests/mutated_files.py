"""Files of preference data, mutated by seed as other tools and other people would have written them.

A row is a list of cells that know which texts a person would call the prompt, the chosen or the rejected answer in
them, whatever the column is called afterwards; so a test can look for texts that a pair lacks.
"""

import ast
import bz2
import csv
import gzip
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Category = Literal["prompt", "chosen", "rejected", ""]

CATEGORIES: dict[str, Category] = {
    **dict.fromkeys(
        ("prompt", "question", "instruction", "input", "query", "messages", "conversations", "system"), "prompt"
    ),
    "chosen": "chosen",
    "rejected": "rejected",
}
"""Of the columns of the rows that are mutated."""
RENAMED: dict[Category, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "instruction", "query", "input", "user_prompt", "Prompt", "frage", "messages",
               "history", "context", "task", "conversation", "text", "x"),
    "chosen": ("chosen", "Chosen", "chosen_response", "preferred", "best", "answer_a", "y_w", "response_1", "good"),
    "rejected": ("rejected", "Rejected", "rejected_response", "dispreferred", "worst", "answer_b", "y_l", "response_2",
                 "bad"),
    "": ("note", "source", "id", "margin"),
}  # fmt: skip
_SPEAKER = re.compile(r"\s*(?:\A|\n\n)(?:Human|Assistant): ?")
_TEXT_KEYS = ("content", "value", "text", "answer", "response")


@dataclass(frozen=True)
class Cell:
    name: str
    value: Any
    category: Category
    texts: tuple[str, ...]


Row = list[Cell]


@dataclass
class MutatedFile:
    """A file, what was done to it, and its rows by the number that a loader gives them."""

    path: Path
    kinds: tuple[str, ...]
    rows: dict[int, Row] = field(default_factory=dict)
    reached: list[int] = field(default_factory=list)
    """Numbers of the rows that a loader came to."""


def row_of(plain: dict[str, Any]) -> Row:
    categories: dict[str, Category] = {name: CATEGORIES.get(name, "") for name in plain}
    return [
        Cell(name, value, categories[name], tuple(texts_in(value)) if categories[name] else ())
        for name, value in plain.items()
    ]


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts that a person reads in a cell: of turns what is said, of a dialogue what each speaker says."""
    if isinstance(value, str):
        spelled = _spelled(value)
        if spelled is not value:
            yield from texts_in(spelled)
        else:
            parts = (
                _SPEAKER.split(value.replace("\r\n", "\n")) if _SPEAKER.match(value.replace("\r\n", "\n")) else [value]
            )
            yield from (part.strip() for part in parts if part.strip())
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, dict):
        for key in _TEXT_KEYS:
            if key in value:
                yield from texts_in(value[key])


def _spelled(text: str) -> Any:
    if not text.startswith(("[{", "{")):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


# ----------------------------------------------------------------------------------------------------------- mutations

Mutation = Callable[[random.Random, list[Row]], list[Row]]


def renamed(rng: random.Random, rows: list[Row]) -> list[Row]:
    found = sorted({(cell.name, cell.category) for row in rows for cell in row})
    names = {name: rng.choice(RENAMED[category]) for name, category in found}
    return [_without_repeats([replace(cell, name=names[cell.name]) for cell in row]) for row in rows]


def renamed_one(rng: random.Random, rows: list[Row]) -> list[Row]:
    name, category = rng.choice(sorted({(cell.name, cell.category) for row in rows for cell in row}))
    new = rng.choice(RENAMED[category])
    return [_without_repeats([replace(c, name=new) if c.name == name else c for c in row]) for row in rows]


def _without_repeats(row: Row) -> Row:
    """Number the columns that have come to one name, so that no cell is overwritten."""
    seen: dict[str, int] = {}
    made = []
    for cell in row:
        seen[cell.name] = seen.get(cell.name, 0) + 1
        made.append(cell if seen[cell.name] == 1 else replace(cell, name=f"{cell.name}{seen[cell.name]}"))
    return made


def _with_values(rows: list[Row], change: Callable[[Cell], Any]) -> list[Row]:
    return [[replace(cell, value=change(cell)) if cell.category else cell for cell in row] for row in rows]


def nested(rng: random.Random, rows: list[Row]) -> list[Row]:
    way = rng.randrange(5)

    def change(cell: Cell) -> Any:
        if isinstance(cell.value, str) and cell.value[:1] in ("[", "{", '"', "'"):
            return cell.value  # spelled already: what stands inside a turn is text
        if way == 0 and isinstance(cell.value, str):
            return {"text": cell.value}
        if way == 1 and isinstance(cell.value, str):
            return [{"role": "user" if cell.category == "prompt" else "assistant", "content": cell.value}]
        if way == 2 and isinstance(cell.value, list) and cell.value and isinstance(cell.value[0], dict):
            return {key: [each.get(key) for each in cell.value] for key in cell.value[0]}
        if way == 3 and isinstance(cell.value, str) and cell.category != "prompt":
            return {"role": "assistant", "content": [{"type": "text", "text": cell.value}]}
        return cell.value

    if way == 4:
        wrapped = [{cell.name: cell.value for cell in row} for row in rows]
        return [
            [Cell("data", inner, "", ()), *(replace(cell, name=f"data.{cell.name}", value=None) for cell in row)]
            for inner, row in zip(wrapped, rows, strict=True)
        ]
    return _with_values(rows, change)


def serialised(rng: random.Random, rows: list[Row]) -> list[Row]:
    spell = rng.choice([json.dumps, repr, lambda value: json.dumps(value, ensure_ascii=False, indent=1)])
    everything = rng.random() < 0.2
    return _with_values(
        rows, lambda cell: spell(cell.value) if everything or not isinstance(cell.value, str) else cell.value
    )


def shuffled(rng: random.Random, rows: list[Row]) -> list[Row]:
    """Rows in another order, their columns in another order, or one column against the others."""
    rows = [list(row) for row in rows]
    way = rng.randrange(3)
    if way == 0:
        rng.shuffle(rows)
    elif way == 1:
        for row in rows:
            rng.shuffle(row)
    else:
        place = rng.randrange(min(map(len, rows)))
        cells = [row[place] for row in rows]
        if len({cell.name for cell in cells}) == 1:
            rng.shuffle(cells)
            for row, cell in zip(rows, cells, strict=True):
                row[place] = cell
    return rows


def emptied(rng: random.Random, rows: list[Row]) -> list[Row]:
    """Cells without a value, and rows without a column."""
    made = [_emptied_row(rng, row) for row in rows]
    return [row for row in made if row] or rows


def _emptied_row(rng: random.Random, row: Row) -> Row:
    place, way = rng.randrange(len(row)), rng.random()
    if way < 0.2:
        return [*row[:place], *row[place + 1 :]]
    if way < 0.4:
        empty = replace(row[place], value=rng.choice([None, "", []]), texts=())
        return [*row[:place], empty, *row[place + 1 :]]
    return row


def roles_renamed(rng: random.Random, rows: list[Row]) -> list[Row]:
    user, assistant = rng.choice(
        [("human", "gpt"), ("Human", "Assistant"), ("User", "Bot"), ("prompter", "ai"), ("Q", "A")]
    )
    role, content = rng.choice([("role", "content"), ("from", "value")])
    named = {"user": user, "assistant": assistant}

    def turned(value: Any) -> Any:
        if isinstance(value, list):
            return [turned(each) for each in value]
        if isinstance(value, dict) and set(value) == {"role", "content"} and isinstance(value["role"], str):
            return {role: named.get(value["role"], value["role"]), content: value["content"]}
        return value

    return _with_values(rows, lambda cell: turned(cell.value))


def with_more_columns(rng: random.Random, rows: list[Row]) -> list[Row]:
    name = rng.choice(["score_chosen", "note", "system", "id", "tags"])
    category: Category = "prompt" if name == "system" else ""
    value: Any = {"system": "Be terse.", "tags": ["a", "b"]}.get(name, 3)
    if any(cell.name == name for row in rows for cell in row):
        return rows
    return [[*row, Cell(name, value, category, ("Be terse.",) if category else ())] for row in rows]


MUTATIONS: dict[str, Mutation] = {
    "renamed": renamed,
    "one column renamed": renamed_one,
    "nested": nested,
    "serialised": serialised,
    "shuffled": shuffled,
    "emptied": emptied,
    "roles renamed": roles_renamed,
    "more columns": with_more_columns,
}


# --------------------------------------------------------------------------------------------------------------- files


def mutated_files(folder: Path, bases: Sequence[list[dict[str, Any]]], count: int, seed: int) -> Iterator[MutatedFile]:
    """Write `count` files into `folder`, each of a few rows of a base, mixed with another's now and then."""
    rng = random.Random(seed)
    for index in range(count):
        rows = [row_of(row) for row in _some(rng, rng.choice(bases))]
        kinds = []
        if rng.random() < 0.15:
            rows += [row_of(row) for row in _some(rng, rng.choice(bases))]
            rng.shuffle(rows)
            kinds.append("mixed")
        for name in rng.sample(list(MUTATIONS), rng.choice([1, 1, 2, 3])):
            rows = MUTATIONS[name](rng, rows)
            kinds.append(name)
        yield _written(rng, folder / f"{index:05d}", rows, kinds)


def _some(rng: random.Random, base: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rng.sample(base, min(len(base), rng.randint(2, 6)))


def _plain(row: Row) -> dict[str, Any]:
    """Return the row as it is written; a cell whose value stands inside another is not written again."""
    return {cell.name: cell.value for cell in row if not cell.name.startswith("data.")}


def _written(rng: random.Random, stem: Path, rows: list[Row], kinds: list[str]) -> MutatedFile:
    kind = rng.choice(["lines", "lines", "lines", "array", "csv", "csv", "parquet"])
    content, numbers, ending = WRITERS[kind](rng, rows)
    kinds.append(kind)
    if kind != "parquet" and rng.random() < 0.25:
        encoding = rng.choice(["utf-8-sig", "utf-16", "latin-1", "crlf"])
        kinds.append(encoding)
        text = content.decode("utf-8")
        content = text.replace("\n", "\r\n").encode() if encoding == "crlf" else text.encode(encoding, "replace")
        if encoding == "crlf" and kind == "csv":
            content = text.encode()  # it is CRLF already
    if rng.random() < 0.2:
        packing = rng.choice(["gzip", "bz2", "zip"])
        kinds.append(packing)
        content = _packed(packing, content)
    if rng.random() < 0.1:
        kinds.append("truncated")
        content = content[: rng.randrange(len(content))]
    path = stem.with_suffix(rng.choice([ending, ending, ".jsonl", ".csv", ".txt", ""]))
    path.write_bytes(content)
    return MutatedFile(path, tuple(kinds), numbers)


Written = tuple[bytes, dict[int, Row], str]


def _lines(rng: random.Random, rows: list[Row]) -> Written:
    ascii_only = rng.random() < 0.5
    text = "".join(json.dumps(_plain(row), ensure_ascii=ascii_only) + "\n" for row in rows)
    return text.encode("utf-8", "replace"), dict(enumerate(rows, start=1)), ".jsonl"


def _array(rng: random.Random, rows: list[Row]) -> Written:
    text = json.dumps([_plain(row) for row in rows], indent=rng.choice([None, 1]))
    return text.encode(), dict(enumerate(rows, start=1)), ".json"


def _csv(rng: random.Random, rows: list[Row]) -> Written:
    names = list(dict.fromkeys(name for row in rows for name in _plain(row)))
    separator = rng.choice([",", ",", ";", "\t", "|"])
    spell = rng.choice([json.dumps, str])
    stream, numbers = io.StringIO(), dict[int, Row]()
    writer = csv.writer(stream, delimiter=separator, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer.writerow(names)
    for row in rows:
        numbers[stream.getvalue().count("\n") + 1] = row
        plain = _plain(row)
        writer.writerow(
            [
                "" if (cell := plain.get(name)) is None else spell(cell) if isinstance(cell, list | dict) else cell
                for name in names
            ]
        )
    return stream.getvalue().encode("utf-8", "replace"), numbers, rng.choice([".csv", ".tsv"])


def _parquet(_: random.Random, rows: list[Row]) -> Written:
    names = list(dict.fromkeys(name for row in rows for name in _plain(row)))
    plain = [_plain(row) for row in rows]
    columns: dict[str, Any] = {}
    for name in names:
        cells = [row.get(name) for row in plain]
        try:
            columns[name] = pa.array(cells)
        except (pa.ArrowException, ValueError, TypeError):  # cells of several types: as a tool that has text alone
            columns[name] = pa.array(
                [None if cell is None else cell if isinstance(cell, str) else str(cell) for cell in cells]
            )
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue(), dict(enumerate(rows, start=1)), ".parquet"


WRITERS: dict[str, Callable[[random.Random, list[Row]], Written]] = {
    "lines": _lines,
    "array": _array,
    "csv": _csv,
    "parquet": _parquet,
}


def _packed(packing: str, content: bytes) -> bytes:
    if packing == "gzip":
        return gzip.compress(content)
    if packing == "bz2":
        return bz2.compress(content)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("pairs", content)
    return stream.getvalue()
