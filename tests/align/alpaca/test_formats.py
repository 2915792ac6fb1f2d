"""AlpacaEval's files: there and back, and what is said of those that cannot be read."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mars_engine.align.alpaca.formats import (
    ModelOutputs,
    Output,
    load_annotations,
    load_leaderboard,
    load_outputs,
    write_annotations,
    write_leaderboard,
    write_outputs,
)
from mars_engine.core.errors import LoadError

OUTPUT = {"instruction": "Sag “hallo”.\n", "output": "", "generator": "kind", "dataset": "made up"}
ANNOTATION = {
    "instruction": "Say hello.",
    "output_1": "Hello.",
    "generator_1": "base",
    "output_2": "Hi, there!",
    "generator_2": "policy",
    "annotator": "judge",
    "preference": 1.25,
    "raw_completion": {"said": "m"},
    "price_per_example": 0.5,
}


def saved(folder: Path, rows: Any, name: str = "rows.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(rows))
    return path


def test_outputs_there_and_back(tmp_path: Path) -> None:
    outputs = ModelOutputs("kind", (Output("Sag “hallo”.\n", "", "made up"), Output("Other", "zwei\nZeilen")))

    write_outputs(tmp_path / "new" / "outputs.json", outputs)

    assert load_outputs(tmp_path / "new" / "outputs.json") == outputs
    assert list(json.loads((tmp_path / "new" / "outputs.json").read_text())[0]) == [
        "dataset",
        "instruction",
        "output",
        "generator",
    ]


def test_outputs_a_line_each_and_by_another_name(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text(json.dumps(OUTPUT) + "\n\n" + json.dumps({**OUTPUT, "instruction": "two"}) + "\n")

    found = load_outputs(path, name="mine")

    assert found.generator == "mine"
    assert [each.instruction for each in found.rows] == ["Sag “hallo”.\n", "two"]


def test_annotations_there_and_back(tmp_path: Path) -> None:
    rows = [ANNOTATION, {**ANNOTATION, "instruction": "failed", "preference": None, "raw_completion": None}]
    first = load_annotations(saved(tmp_path, rows))
    write_annotations(tmp_path / "again.json", first)
    again = load_annotations(tmp_path / "again.json")

    assert again == first
    assert again[0].columns == {"price_per_example": 0.5}
    assert again[0].raw_completion == '{"said": "m"}'
    assert again[0].probability == 0.25
    assert again[0].length_difference == -4
    assert math.isnan(again[1].probability)


def test_a_tie_of_old_is_a_tie(tmp_path: Path) -> None:
    (found,) = load_annotations(saved(tmp_path, [{**ANNOTATION, "preference": 0}]))

    assert found.preference == 1.5


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no list of rows"),
        ({"a": 1}, "no list of rows"),
        ([3], "row 1 of .* is int"),
        ([{"output": "x", "generator": "g"}], "row 1 of .* has no 'instruction'"),
        ([{**OUTPUT, "output": 3}], "'output' that is no text: 3"),
        ([OUTPUT, OUTPUT], "row 2 of .* repeats an instruction"),
        ([OUTPUT, {**OUTPUT, "instruction": "b", "generator": "other"}], "several models as 'generator': kind, other"),
        ([{"instruction": "a", "output": "b"}], "does not name its model"),
    ],
)
def test_outputs_that_cannot_be_used(tmp_path: Path, rows: Any, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        load_outputs(saved(tmp_path, rows))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preference": 2.5}, "the preference 2.5"),
        ({"preference": "model_1"}, "the preference 'model_1'"),
        ({"preference": True}, "the preference True"),
        ({"output_2": None}, "'output_2' that is no text"),
    ],
)
def test_annotations_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(LoadError, match=said):
        load_annotations(saved(tmp_path, [{**ANNOTATION, **change}]))


def test_a_file_that_is_no_json_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")

    with pytest.raises(LoadError, match="is no JSON"):
        load_outputs(tmp_path / "bad.json")
    with pytest.raises(LoadError, match="cannot be read"):
        load_outputs(tmp_path / "absent.json")


def test_a_leaderboard_there_and_back_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    worse: dict[str, float | str] = {"win_rate": 20.125, "avg_length": 12, "n_total": 60}
    better: dict[str, float | str] = {"win_rate": 70.0, "length_controlled_winrate": 55.5, "mode": "community"}

    write_leaderboard(path, {"worse, much": worse, "better": {**better, "length_control": "minimal"}})

    assert load_leaderboard(path) == {"better": {**better, "length_control": "minimal"}, "worse, much": worse}
    assert path.read_text().startswith(",win_rate,standard_error,mode,avg_length,n_wins,")
    assert list(load_leaderboard(path)) == ["better", "worse, much"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read as a leaderboard"),
        (",score\na,1\n", "no column 'win_rate'"),
        (",win_rate\na,much\n", "line 2 of .* has 'much' as win_rate"),
        (",win_rate\na,1\na,2\n", "line 3 of .* repeats a model"),
        (",win_rate\na,1,2\n", "line 2 of .* has 3 cells"),
    ],
)
def test_leaderboards_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "leaderboard.csv"
    path.write_text(text)

    with pytest.raises(LoadError, match=said):
        load_leaderboard(path)
