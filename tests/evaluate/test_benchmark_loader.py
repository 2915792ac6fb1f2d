"""Reading RewardBench as a benchmark: every row, or a plain refusal."""

import gzip
import json
from pathlib import Path

import pytest
from made_up_best_of import made_up_best_of_rows

from mars_engine.core.errors import LoadError
from mars_engine.core.records import Turn
from mars_engine.evaluate.benchmark_loader import load_benchmark, load_published_scores

FIRST = {"id": 31, "subset": "refusals-dangerous", "prompt": "how?\n\n ", "chosen": "no", "rejected": "no"}


def write(path: Path, rows: list[dict]) -> str:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


def test_rows_that_an_import_would_drop_are_kept(tmp_path):
    rows = [FIRST, FIRST | {"rejected": ""}, FIRST | {"prompt": [{"role": "user", "content": "a"}]}]
    found = load_benchmark([write(tmp_path / "a.jsonl.gz", rows)])
    assert found.version == 1
    assert [(row.right, row.wrong) for row in found.rows] == [(("no",), ("no",)), (("no",), ("",)), (("no",), ("no",))]
    assert (found.rows[0].id, found.rows[0].subset) == ("31", "refusals-dangerous")
    assert found.rows[0].prompt == (Turn("user", "how?\n\n "),)
    assert found.rows[2].prompt == (Turn("user", "a"),)
    assert dict(found.rows[0].columns) == FIRST


def test_version_2_is_told_by_its_lists_and_keeps_all_answers(tmp_path):
    rows = made_up_best_of_rows(seed=0)
    found = load_benchmark([write(tmp_path / "a.jsonl", rows)])
    assert found.version == 2
    assert [row.answers for row in found.rows] == [(*row["chosen"], *row["rejected"]) for row in rows]
    with pytest.raises(LoadError, match="form of RewardBench 2"):
        load_benchmark([str(tmp_path / "a.jsonl")], version=1)


def test_parquet_and_several_files_are_put_together(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([FIRST]), tmp_path / "a.parquet")
    both = load_benchmark([str(tmp_path / "a.parquet"), write(tmp_path / "b.jsonl", [FIRST | {"subset": "shp"}])])
    assert [row.subset for row in both.rows] == ["refusals-dangerous", "shp"]
    assert both.content_hash != load_benchmark([str(tmp_path / "a.parquet")]).content_hash


def test_a_folder_laid_out_like_a_hub_set_is_read_by_its_split(tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    write(tmp_path / "set" / "data" / "filtered-00000-of-00001.jsonl", [FIRST])
    write(tmp_path / "set" / "data" / "raw-00000-of-00001.jsonl", [FIRST, FIRST])
    assert len(load_benchmark([f"hub:{tmp_path / 'set'}@filtered"]).rows) == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "has no rows"),
        ([FIRST, {"prompt": "a", "chosen": "b"}], "row 2 of .* no column 'rejected'"),
        ([FIRST | {"chosen": None}], "row 1 of .* not text"),
        ([FIRST | {"chosen": [], "rejected": ["a"]}], "row 1 of .* empty side"),
        ([FIRST, FIRST | {"chosen": ["a"], "rejected": ["b"]}], "row 2 of .* not in the form of RewardBench 1"),
    ],
)
def test_a_row_that_cannot_be_used_refuses_the_whole(rows, says, tmp_path):
    with pytest.raises(LoadError, match=says):
        load_benchmark([write(tmp_path / "a.jsonl", rows)])


def test_a_line_that_is_no_json_refuses_the_whole(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(FIRST) + "\nnonsense\n")
    with pytest.raises(LoadError, match=r"row 2 of .* line that is not JSON"):
        load_benchmark([str(tmp_path / "a.jsonl")])


# ------------------------------------------------------------------------------------------------------ others' figures


def test_scores_are_read_from_both_of_the_official_files_and_put_together(tmp_path):
    command = {"accuracy": 0.5, "num_prompts": 9, "model": "m", "extra_results": {"llmbar-natural": 0.5}}
    script = {"model": "m", "model_type": "Seq. Classifier", "chat_template": "tulu", "shp": 0.75}
    (tmp_path / "a.json").write_text(json.dumps(command))
    (tmp_path / "b.json").write_text(json.dumps(script))
    found = load_published_scores([tmp_path / "a.json", tmp_path / "b.json"])
    assert (found.model, found.by_subset) == ("m", {"llmbar-natural": 0.5, "shp": 0.75})


def test_percentages_are_read_as_tables_give_them(tmp_path):
    (tmp_path / "a.json").write_text('{"model": "m", "shp": 74.3, "llmbar-natural": 0.9}')
    found = load_published_scores([tmp_path / "a.json"])
    assert found.by_subset == pytest.approx({"shp": 0.743, "llmbar-natural": 0.009})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "no scores by subset"),
        ('{"accuracy": 0.5, "extra_results": null, "model": "m"}', "no scores by subset"),
        ('{"shp": 174.3}', "the score 1.743 for shp.*or percentages"),
        ('{"shp": -0.5}', "the score -0.5 for shp"),
    ],
)
def test_a_file_that_has_no_scores_is_refused(content, says, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(LoadError, match=says):
        load_published_scores([tmp_path / "a.json"])


def test_files_of_two_models_are_not_put_together(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"model": name, "shp": 0.5}))
    with pytest.raises(LoadError, match="different models: a, b"):
        load_published_scores([tmp_path / "a.json", tmp_path / "b.json"])
