"""What is exported comes back as the same pairs: every shape and file, through other tools' hands as well."""

import csv
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import TickingClock

from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import ExportRow, Pair, Split, Turn
from mars_engine.data.exporter import ExportShape, export_pairs
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.store import open_store

SHAPES: tuple[ExportShape, ...] = get_args(ExportShape)
ENDINGS = ("jsonl", "jsonl.gz", "parquet")
COUNT = 500

PIECES = [
    "The sea is deep.", "naïve café", "世界 🌍", "e\u0301 and é", "مرحبا", "def f(x):\n    return x + 1",
    "```python\nxs[0]\n```", "\n\n", "\n", "   ", "\t", "- one\n- two", "a; b | c, d", '"quoted"', "it's",
    "{'role': 'user'}", '[{"role": "user", "content": "x"}]', "\n\nHuman: no", "\n\nAssistant: maybe", "Human: yes",
    "System: x", "\r\n", "\\n", "$x^2$", "<b>", "null", "NaN", "1.50", "https://example.org/?a=b&c=d", "\u2028",
    "\ufeff", "\u00a0",
]  # fmt: skip


def random_text(rng: random.Random) -> str:
    text = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 7)))
    return text if text.strip() else f"{text}word{rng.randint(0, 99)}"


def random_pair(rng: random.Random, number: int) -> Pair:
    turns = [Turn("system", random_text(rng))] if rng.random() < 0.3 else []
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        turns += [Turn("user", random_text(rng)), Turn("assistant", random_text(rng))]
    turns.append(Turn("user", random_text(rng)))
    shared = random_text(rng) if rng.random() < 0.3 else ""
    return Pair.of(turns, f"{shared}{random_text(rng)} {number}", f"{shared}{random_text(rng)} -{number}")


PAIRS = [random_pair(random.Random(seed), seed) for seed in range(COUNT)]


def row(pair: Pair) -> ExportRow:
    return ExportRow(pair, margin=0.25, round=1, source_id=pair.id, method="paraphrase", semantic_distance=0.5)


def write(folder: Path, shape: ExportShape, ending: str, pairs: list[Pair] = PAIRS) -> Path:
    return export_pairs(map(row, pairs), folder / f"pairs.{ending}", shape=shape, manifest={}).path


def ids_in(path: Path) -> list[str]:
    rows = list(open_source(str(path)).rows())
    assert [reason for each in rows for reason in each.dropped] == []
    return [pair.id for each in rows for pair in each.pairs]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_five_hundred_pairs_come_back_as_they_were(tmp_path: Path, shape: ExportShape, ending: str) -> None:
    path = write(tmp_path, shape, ending)
    rows = list(open_source(str(path)).rows())
    back = [pair for each in rows for pair in each.pairs]
    assert [pair.id for pair in back] == [pair.id for pair in PAIRS]
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in back] == [
        (pair.prompt, pair.chosen, pair.rejected) for pair in PAIRS
    ]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_importing_an_export_adds_nothing_and_the_other_split_sees_the_leak(
    tmp_path: Path, shape: ExportShape, split: Split
) -> None:
    store, clock = open_store("sqlite://"), TickingClock()

    def take(path: Path, into: Split) -> Any:
        source = open_source(str(path))
        return import_pairs(source, store, split=into, clock=clock, progress=SilentProgress(), may_be_empty=True)

    take(write(tmp_path, "conversational", "jsonl"), split)
    path = write(tmp_path, shape, "parquet")
    report = take(path, split)
    assert (report.kept, report.already_present) == (0, COUNT)
    report = take(path, "train" if split == "heldout" else "heldout")
    assert (report.kept, report.already_present, sum(report.dropped.values())) == (0, 0, COUNT)
    store.close()


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def sorted_keys(path: Path, target: Path) -> None:
    rows = sorted(records(path), key=lambda each: each["mars_source_id"])
    target.write_text("".join(json.dumps(each, sort_keys=True) + "\n" for each in rows), encoding="utf-8")


def gzipped_without_its_name(path: Path, target: Path) -> None:
    target.write_bytes(gzip.compress(path.read_bytes()))


def as_array(path: Path, target: Path) -> None:
    target.write_text(json.dumps(records(path), indent=2), encoding="utf-8")


def as_table_of_text(spelled: Callable[[Any], str], separator: str) -> Callable[[Path, Path], None]:
    def write_table(path: Path, target: Path) -> None:
        rows = records(path)
        with target.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]), delimiter=separator)
            writer.writeheader()
            for each in rows:
                writer.writerow({key: spelled(cell) if isinstance(cell, list) else cell for key, cell in each.items()})

    return write_table


def as_parquet(path: Path, target: Path) -> None:
    pq.write_table(pa.Table.from_pylist(records(path)), target, compression="zstd")


TOOLS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "sorted": ("jsonl", sorted_keys),
    "gzipped": ("jsonl", gzipped_without_its_name),
    "array": ("json", as_array),
    "pandas csv": ("csv", as_table_of_text(repr, ",")),
    "json in csv": ("csv", as_table_of_text(json.dumps, ";")),
    "tabs": ("tsv", as_table_of_text(str, "\t")),
    "parquet": ("parquet", as_parquet),
}


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_export_survives_other_tools(tmp_path: Path, shape: ExportShape, tool: str) -> None:
    ending, work = TOOLS[tool]
    path = write(tmp_path, shape, "jsonl")
    target = tmp_path / f"reworked.{ending}"
    work(path, target)
    assert sorted(ids_in(target)) == sorted(pair.id for pair in PAIRS)


@pytest.mark.parametrize("shape", SHAPES)
def test_blank_lines_that_a_tool_adds_or_takes_make_no_new_pair(tmp_path: Path, shape: ExportShape) -> None:
    path = write(tmp_path, shape, "jsonl")
    rows = records(path)
    for each in rows:
        for side in ("chosen", "rejected"):
            if isinstance(each[side], str):
                each[side] = f"{each[side].rstrip()}\n\n"
            else:
                each[side][-1]["content"] = f"{each[side][-1]['content'].rstrip()}\n\n"
    target = tmp_path / "respelled.jsonl"
    target.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    assert ids_in(target) == [pair.id for pair in PAIRS]
