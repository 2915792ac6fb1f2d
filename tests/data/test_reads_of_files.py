"""How often an import reads its file: to hash it, to recognise its format by the first rows, and for its pairs once."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from mars_engine.cli.main import mars as command
from mars_engine.data.loaders import opening
from mars_engine.data.loaders.opening import ROWS_LOOKED_AT
from mars_engine.data.loaders.reading import RawRow
from mars_engine.store import open_store, sqlite_url

ROWS = 250


@pytest.fixture
def reads(monkeypatch) -> Counter[str]:
    """Counts the passes over a file and the rows parsed in them."""
    counts: Counter[str] = Counter()
    reader_of, digest = opening.reader_of, hashlib.file_digest

    def counting_reader_of(path: Path):
        reader = reader_of(path)

        def read(path: Path) -> Iterator[RawRow]:
            for raw in reader(path):
                counts["rows parsed"] += 1
                yield raw

        return read

    def counting_digest(stream, *args):
        counts["hashed"] += stream.name.endswith("pairs.jsonl")
        return digest(stream, *args)

    monkeypatch.setattr(opening, "reader_of", counting_reader_of)
    monkeypatch.setattr(hashlib, "file_digest", counting_digest)
    return counts


@pytest.fixture
def file_of_pairs(tmp_path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"question {n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_file_of_which_a_part_is_held_out_is_read_once(tmp_path, reads, file_of_pairs, dry_run):
    workspace = tmp_path / "workspace"
    mars(workspace, "init")
    mars(workspace, "import", str(file_of_pairs), "--holdout", "0.2", *(["--dry-run"] if dry_run else []))
    assert reads == {"hashed": 1, "rows parsed": ROWS_LOOKED_AT + ROWS}
    store = open_store(sqlite_url(workspace / "mars.sqlite"))
    counts = [store.pairs.count("train"), store.pairs.count("heldout")]
    store.close()
    assert sum(counts) == (0 if dry_run else ROWS)
    assert dry_run or min(counts) > 0


def mars(workspace: Path, *args: str) -> None:
    result = CliRunner().invoke(command, ["--workspace", str(workspace), *args], prog_name="mars")
    assert result.exit_code == 0, result.output
