"""Recorded rewrites in an experiment: what is read of a file, and that methods take their new texts from it alone."""

import json
from pathlib import Path

import pytest
from experiment_fakes import make_plan, make_tools
from fakes import make_pairs

from mars_engine.core.errors import LoadError
from mars_engine.core.shipped import shipped
from mars_engine.data.loaders import open_source
from mars_engine.experiments.draws import DatasetPairs, read_pairs
from mars_engine.experiments.experiment import open_laboratory
from mars_engine.experiments.files import read_dataset
from mars_engine.experiments.plan import DatasetPlan, load_experiment_plan
from mars_engine.experiments.recorded_rewrites import read_mislabelled, read_rewrites

ROWS = [
    {"prompt": f"Question {n}?", "chosen": f"Good answer {n}.", "rejected": f"Bad answer {n}.", "wrong": n == 1}
    for n in range(3)
]


def written(folder: Path, name: str, rows: list[dict]) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_lines_name_their_pair_by_row_or_id(tmp_path):
    source = open_source(str(written(tmp_path, "pairs.jsonl", ROWS)))
    first, _, third = read_pairs([source])
    lines = [
        {"i": 0, "chosen_p": "Fine answer 0."},
        {"id": third.id, "rejected_p": ["Poor answer 2."], "chosen_p": None},
    ]
    found = read_rewrites(written(tmp_path, "rewrites.jsonl", lines), [source])
    assert found == {first.id: {"chosen_p": "Fine answer 0."}, third.id: {"rejected_p": ["Poor answer 2."]}}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"i": 7, "chosen_p": "x"}, "line 1 .* names no pair of the dataset"),
        ({"i": 0, "label_doubt": "x"}, "line 1 .* has no rewrites"),
    ],
)
def test_a_line_that_cannot_be_used_is_an_error(tmp_path, line, said):
    source = open_source(str(written(tmp_path, "pairs.jsonl", ROWS)))
    with pytest.raises(LoadError, match=said):
        read_rewrites(written(tmp_path, "rewrites.jsonl", [line]), [source])


def test_wrong_labels_are_read_from_their_column(tmp_path):
    file = written(tmp_path, "pairs.jsonl", ROWS)
    source = open_source(str(file))
    assert read_mislabelled([file], [source], "wrong") == {read_pairs([source])[1].id}
    with pytest.raises(LoadError, match=r"line 1 .* has null as 'mislabelled'"):
        read_mislabelled([file], [source], "mislabelled")


def test_methods_take_new_texts_from_the_record_alone():
    pairs = make_pairs(70, pairs_a_prompt=2)
    rewrites = {
        pair.id: {
            "chosen_p": [f"{pair.chosen} as told {n}" for n in range(2)],
            "rejected_p": [f"{pair.rejected} as told {n}" for n in range(2)],
        }
        for pair in pairs
    }
    plan = make_plan()
    data = DatasetPairs(pairs, rewrites=rewrites)
    for flipped in (0.0, 0.25):
        with open_laboratory(plan, plan.datasets[0], 0, data, make_tools(plan), flipped=flipped) as opened:
            rows = opened.training_rows("uniform")
            base, new = rows.pairs[:16], rows.pairs[16:]
            assert len(new) == 48
            sides = {"chosen": {pair.chosen for pair in base}, "rejected": {pair.rejected for pair in base}}
            for pair in new:
                assert pair.chosen.split(" as told ")[0] in sides["chosen"]
                assert pair.rejected.split(" as told ")[0] in sides["rejected"]
            assert any(" as told 1" in pair.chosen for pair in new)


def test_the_demo_plan_reads_its_heldout_pairs_rewrites_and_wrong_labels():
    path = shipped("data") / "experiments" / "recorded-rewrites.toml"
    plan = load_experiment_plan(path)
    data = read_dataset(plan.datasets[0], path)
    assert (len(data.pairs), len(data.heldout), len(data.mislabelled)) == (360, 252, 40)
    assert set(data.rewrites) == {pair.id for pair in data.pairs}
    assert not {pair.prompt_id for pair in data.pairs} & {pair.prompt_id for pair in data.heldout}


def test_a_dataset_needs_heldout_pairs_from_somewhere():
    with pytest.raises(ValueError, match="heldout_pairs is 0 and there are no heldout_paths"):
        DatasetPlan(name="d", paths=("p",), base_pairs=10)
