"""2,000 mutated files made of the cases and of the real pairs: no other error than a refusal, no text lost."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mutated_files import mutated_files
from mutation_checks import read_all

pytestmark = pytest.mark.realdata

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
ROWS_A_FILE = 40


def rows_in(path: Path) -> list[dict[str, Any]]:
    """Return the first rows of a file, read by the plainest means; none of a file that is no table of sides."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as stream:
            first = stream.readline()
            stream.seek(0)
            rows = list(csv.DictReader(stream, delimiter=";" if ";" in first else ","))
    else:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
        rows = (
            json.loads(text)
            if text.startswith("[")
            else [json.loads(line) for line in text.split("\n") if line.strip()]
        )
    return [row for row in rows[:ROWS_A_FILE] if isinstance(row, dict)]


@pytest.fixture(scope="module")
def bases() -> list[list[dict[str, Any]]]:
    files = [path for path in sorted((SHARED / "cases").glob("*")) if path.suffix in (".jsonl", ".csv", ".parquet")]
    files += sorted((SHARED / "data").glob("*.jsonl.gz"))
    if not files:
        pytest.skip(f"there are no cases and no real data in {SHARED}")
    return [rows for path in files if (rows := rows_in(path))]


def test_two_thousand_mutated_files_lose_no_text(bases: list[list[dict[str, Any]]], tmp_path: Path) -> None:
    tally = read_all(mutated_files(tmp_path, bases, 2000, seed=11))
    print(tally)
    assert not tally.lost, dict(list(tally.lost.items())[:10])
    assert tally.files["all"] == 2000
    assert tally.kept["all"] > 1000
