"""Files of preference pairs with damage of many kinds, made from a seed.

Sound rows have texts like "question 3", "good answer 3" and "bad answer 3". Every row that is damaged has the word
DAMAGED in a text or lacks one, so that a pair which contains it shows that a loader let damage through.
"""

import csv
import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MARK = "DAMAGED"
OVERSIZED_FILES = 3
"""Files with a line of 17 MiB: few, since they are slow to write."""

Row = dict[str, Any]
Damage = Callable[[random.Random, Path], Path]


def damaged_sources(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Write `count` damaged files into `folder`, the kinds in turn; yield each one's kind and path."""
    rng = random.Random(seed)
    kinds = list(DAMAGES.items())
    for index in range(count):
        kind, damage = ("oversized_line", _oversized_line) if index < OVERSIZED_FILES else kinds[index % len(kinds)]
        yield kind, damage(rng, folder / f"{index:04d}-{kind}")


def sound_row(index: int) -> Row:
    return {"prompt": f"question {index}", "chosen": f"good answer {index}", "rejected": f"bad answer {index}"}


def _sound_rows(rng: random.Random) -> list[Row]:
    return [sound_row(index) for index in range(rng.randint(3, 12))]


def _damaged_row(**changes: Any) -> Row:
    return {"prompt": f"{MARK} question", "chosen": f"{MARK} good", "rejected": f"{MARK} bad", **changes}


def _with_lines_between(rng: random.Random, lines: list[bytes], damaged: list[bytes]) -> bytes:
    for line in damaged:
        lines.insert(rng.randint(1, len(lines)), line)
    return b"\n".join(lines) + b"\n"


def _json_lines(rows: list[Row]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


def _write_json_lines(rng: random.Random, stem: Path, damaged: list[bytes]) -> Path:
    content = _with_lines_between(rng, _json_lines(_sound_rows(rng)), damaged)
    if rng.random() < 0.3:
        path = stem.with_suffix(".jsonl.gz")
        path.write_bytes(gzip.compress(content, compresslevel=1))
    else:
        path = stem.with_suffix(".jsonl")
        path.write_bytes(content)
    return path


def _truncated_gzip(rng: random.Random, stem: Path) -> Path:
    packed = gzip.compress(b"\n".join(_json_lines(_sound_rows(rng))))
    path = stem.with_suffix(".jsonl.gz")
    path.write_bytes(packed[: rng.randint(1, len(packed) - 1)])
    return path


def _broken_utf8(rng: random.Random, stem: Path) -> Path:
    line = json.dumps(_damaged_row()).encode().replace(b"good", rng.choice([b"\xff\xfe", b"\xc3(", b"\xed\xa0\x80"]))
    if rng.random() < 0.5:
        return _write_json_lines(rng, stem, [line])
    path = stem.with_suffix(".csv")
    rows = [",".join(row.values()).encode() for row in _sound_rows(rng)]
    path.write_bytes(b"prompt,chosen,rejected\n" + _with_lines_between(rng, rows, [f"{MARK},".encode() + b"\xff,bad"]))
    return path


def _nan_cells(rng: random.Random, stem: Path) -> Path:
    blank = rng.choice([float("nan"), None, 1.5])
    return _write_json_lines(rng, stem, _json_lines([_damaged_row(**{rng.choice(["prompt", "chosen"]): blank})]))


def _wrong_columns(rng: random.Random, stem: Path) -> Path:
    rows = [{rng.choice(["question", "input", "a\nb"]): f"{MARK} {index}", "label": index} for index in range(5)]
    path = stem.with_suffix(".jsonl")
    path.write_bytes(b"\n".join(_json_lines(rows)))
    return path


def _missing_side(rng: random.Random, stem: Path) -> Path:
    without, blank = _damaged_row(), _damaged_row(rejected=rng.choice(["", " \n\t"]))
    del without[rng.choice(["prompt", "chosen", "rejected"])]
    return _write_json_lines(rng, stem, _json_lines([without, blank]))


def _empty_file(rng: random.Random, stem: Path) -> Path:
    path = stem.with_suffix(rng.choice([".jsonl", ".jsonl.gz", ".csv", ".parquet", ".json"]))
    path.write_bytes(b"")
    return path


def _not_json(rng: random.Random, stem: Path) -> Path:
    lines = [b"{'prompt': 'DAMAGED'}", b'{"prompt": "DAMAGED', b"<html>DAMAGED</html>", b"[1, 2]", b'"DAMAGED"', b"7"]
    lines += [b"[" * 100_000, b'{"prompt": ' + b"9" * 5000 + b"}"]
    return _write_json_lines(rng, stem, rng.sample(lines, 3))


def _mixture_of_formats(rng: random.Random, stem: Path) -> Path:
    dialogue = {
        "chosen": f"\n\nHuman: {MARK}\n\nAssistant: good {MARK}",
        "rejected": f"\n\nHuman: {MARK}\n\nAssistant: bad {MARK}",
    }
    return _write_json_lines(rng, stem, _json_lines([dialogue]))


def _wrong_types(rng: random.Random, stem: Path) -> Path:
    wrong = rng.choice([17, True, {"text": MARK}, [], [MARK], [{"role": "user"}], [{"role": 1, "content": MARK}], [[]]])
    return _write_json_lines(rng, stem, _json_lines([_damaged_row(chosen=wrong)]))


def _unholdable_characters(rng: random.Random, stem: Path) -> Path:
    character = rng.choice(["\0", "\ud800", "\udfff"])
    return _write_json_lines(rng, stem, _json_lines([_damaged_row(chosen=f"{MARK} {character} good")]))


def _bad_csv(rng: random.Random, stem: Path) -> Path:
    path = stem.with_suffix(".csv")
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=rng.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
        writer.writerow(["prompt", "chosen", "rejected"])
        for row in _sound_rows(rng):
            writer.writerow(row.values())
        stream.write(
            rng.choice(
                [
                    f'"{MARK} open quote,good,bad\n',
                    f'"{MARK}" stray,good,bad\n',
                    f"{MARK},too few\n",
                    f"{MARK},too,many,cells\n",
                    f"{MARK},NUL \0 character,bad\n",
                ]
            )
        )
        for row in _sound_rows(rng):
            writer.writerow(row.values())
    return path


def _corrupted_parquet(rng: random.Random, stem: Path) -> Path:
    """With page checksums, so that altered texts do not pass for sound ones."""
    path = stem.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist(_sound_rows(rng)), path, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        del content[rng.randrange(len(content)) :]
    else:
        for _ in range(rng.choice([1, 5, 50])):
            content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)
    return path


def _oversized_line(rng: random.Random, stem: Path) -> Path:
    line = json.dumps(_damaged_row(chosen=f"{MARK} " + "long " * (17 * 2**20 // 5))).encode()
    return _write_json_lines(rng, stem, [line])


DAMAGES: dict[str, Damage] = {
    "truncated_gzip": _truncated_gzip,
    "broken_utf8": _broken_utf8,
    "nan_cells": _nan_cells,
    "wrong_columns": _wrong_columns,
    "missing_side": _missing_side,
    "empty_file": _empty_file,
    "not_json": _not_json,
    "mixture_of_formats": _mixture_of_formats,
    "wrong_types": _wrong_types,
    "unholdable_characters": _unholdable_characters,
    "bad_csv": _bad_csv,
    "corrupted_parquet": _corrupted_parquet,
}
