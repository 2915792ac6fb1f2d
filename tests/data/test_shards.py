"""Folders and patterns of shards, subsets and revisions of hub sets, and how many rows are expected."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mars_engine.cli.main import BAD_INPUT, mars
from mars_engine.core.errors import LoadError
from mars_engine.core.records import Pair
from mars_engine.data.loaders import open_source
from mars_engine.data.loaders.hub import parse_address, with_hub_options
from mars_engine.data.loaders.shards import estimate_rows


def row(number: int) -> dict[str, str]:
    return {"prompt": f"Question {number}?", "chosen": f"good {number}", "rejected": f"bad {number}"}


def write(path: Path, numbers: range) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row(number)) + "\n" for number in numbers)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def pairs_of(location: str) -> list[Pair]:
    return [pair for parsed in open_source(location).rows() for pair in parsed.pairs]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Ten and two shards, whose names sort otherwise as text than as numbers; and what lies about beside them."""
    for number in range(12):
        write(tmp_path / "set" / f"part-{number}.jsonl.gz", range(number * 10, number * 10 + 10))
    (tmp_path / "set" / "README.md").write_text("# A set")
    (tmp_path / "set" / ".cache.jsonl").write_text("nothing")
    (tmp_path / "set" / "part-0.jsonl.gz.manifest.json").write_text("{}")
    return tmp_path / "set"


@pytest.mark.parametrize("pattern", ["", "*", "part-*.jsonl.gz", "part-?*.gz", "../*/part-*.gz", "../**/part-*.gz"])
def test_all_shards_are_read_in_the_order_of_their_numbers(shards, pattern, monkeypatch):
    (shards / "README.md").unlink()
    monkeypatch.chdir(shards)
    read = list(open_source(str(shards / pattern) if pattern else str(shards)).rows())
    assert [parsed.row for parsed in read] == list(range(1, 121))
    assert [parsed.pairs[0].chosen for parsed in read] == [f"good {number}" for number in range(120)]


def test_a_folder_is_named_by_itself_and_its_content_says_what_it_is(shards, tmp_path):
    source = open_source(str(shards))
    assert (source.name, source.format) == ("set", "trl")
    assert open_source(str(shards / "part-*.gz")).name == "part"
    other = tmp_path / "other"
    shards.rename(other)
    assert open_source(str(other)).content_hash == source.content_hash
    write(other / "part-3.jsonl.gz", range(5))
    assert open_source(str(other)).content_hash != source.content_hash


def test_a_file_with_signs_of_a_pattern_in_its_name_is_that_file(tmp_path):
    write(tmp_path / "set[1].jsonl", range(3))
    write(tmp_path / "set1.jsonl", range(3, 9))
    assert len(pairs_of(str(tmp_path / "set[1].jsonl"))) == 3


def test_what_is_no_source_of_several_files_is_refused(tmp_path, shards):
    with pytest.raises(LoadError, match="no file matches"):
        open_source(str(tmp_path / "none-*.jsonl"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoadError, match="no file of pairs"):
        open_source(str(tmp_path / "empty"))
    (shards / "facts.json").write_text("{}")
    with pytest.raises(LoadError, match=r"12 \.jsonl\.gz, 1 \.json.*pattern"):
        open_source(str(shards))


def test_a_damaged_shard_refuses_the_whole(shards):
    path = shards / "part-7.jsonl.gz"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(LoadError, match="part-7"):
        pairs_of(str(shards))


def test_a_folder_imports_as_one_dataset(tmp_path, shards):
    workspace = str(tmp_path / "w")
    runner = CliRunner()
    assert runner.invoke(mars, ["--workspace", workspace, "init"]).exit_code == 0
    for location, kept in ((str(shards), 120), (str(shards / "*.gz"), 0)):
        result = runner.invoke(mars, ["--workspace", workspace, "import", location, "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)[0]["kept"] == kept


@pytest.mark.parametrize("count", [1, 100, 30_000])
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
def test_about_how_many_rows_there_are(tmp_path, ending, count):
    path = tmp_path / f"rows{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist([row(number) for number in range(count)]), path)
    else:
        write(path, range(count))
    assert estimate_rows(path) == pytest.approx(count, rel=0.15)
    assert open_source(str(path)).expected_rows == estimate_rows(path)


def test_what_cannot_be_estimated_is_zero(tmp_path):
    assert estimate_rows(tmp_path / "absent.jsonl") == 0
    (tmp_path / "array.json").write_text(json.dumps([row(1)]))
    assert estimate_rows(tmp_path / "array.json") == 0


# --------------------------------------------------------------------------------------------------------- hub


@pytest.mark.parametrize(
    ("location", "subset", "revision", "split"),
    [
        ("hub:owner/name", None, None, None),
        ("hub:owner/name:easy@test", "easy", None, "test"),
        ("hub:owner/name@test#v1.2", None, "v1.2", "test"),
        ("hub:owner/name:easy@train[:100]#refs/pr/3", "easy", "refs/pr/3", "train[:100]"),
    ],
)
def test_a_location_of_the_hub_names_subset_split_and_revision(location, subset, revision, split):
    if split and ":" in split:
        with pytest.raises(LoadError):
            parse_address(location)
        return
    address = parse_address(location)
    assert (address.config, address.revision, address.split) == (subset, revision, split)


def test_options_make_the_location_whole():
    assert with_hub_options("hub:a/b@test", subset="easy", revision="v1") == "hub:a/b:easy@test#v1"
    assert with_hub_options("pairs.jsonl") == "pairs.jsonl"
    with pytest.raises(LoadError, match="no set on the hub"):
        with_hub_options("pairs.jsonl", revision="v1")
    with pytest.raises(LoadError, match="names the subset 'hard'"):
        with_hub_options("hub:a/b:hard", subset="easy")


def test_the_revision_reaches_the_library(monkeypatch):
    asked = SimpleNamespace()

    def load_dataset(path, name, *, split, revision):
        asked.arguments = (path, name, split, revision)
        return datasets.Dataset.from_list([row(1), row(2)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = open_source("hub:owner/name:easy@test#v1.2")
    assert asked.arguments == ("owner/name", "easy", "test", "v1.2")
    assert source.location == "hub:owner/name:easy@test#v1.2"
    assert source.expected_rows == 2


def test_a_subset_of_a_set_with_several(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set" / "easy.jsonl", range(3))
    write(tmp_path / "set" / "hard.jsonl", range(3, 8))
    parts = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("easy", "hard"))
    (tmp_path / "set" / "README.md").write_text(f"---\nconfigs:\n{parts}---\n")
    assert len(pairs_of("hub:./set:hard")) == 5
    runner = CliRunner()
    assert runner.invoke(mars, ["--workspace", "w", "init"]).exit_code == 0
    result = runner.invoke(mars, ["--workspace", "w", "import", "hub:./set", "--subset", "easy", "--json"])
    assert json.loads(result.stdout)[0]["kept"] == 3
    refused = runner.invoke(mars, ["--workspace", "w", "import", "hub:./set", "--subset", "absent"])
    assert refused.exit_code == BAD_INPUT
    assert "--subset" in refused.output
