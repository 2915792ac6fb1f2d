"""Plans of experiments: what is read, what is refused and how it is said."""

import pytest

from mars_engine.core.errors import ConfigError
from mars_engine.experiments.plan import (
    BASELINES,
    METHOD_NOTES,
    METHODS,
    find_dataset_file,
    load_experiment_plan,
)
from mars_engine.service.shipped import shipped

LEAST = 'name = "p"\n[[datasets]]\nname = "d"\npaths = ["d.jsonl"]\nbase_pairs = 10\nheldout_pairs = 10\n'


def load(tmp_path, text):
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return load_experiment_plan(path)


def test_the_shipped_plan_is_whole_and_its_files_are_there():
    path = shipped("data") / "experiments" / "baselines.toml"
    plan = load_experiment_plan(path)
    assert plan.methods == METHODS
    assert len(METHODS) == 15
    assert set(METHOD_NOTES) == set(METHODS) > set(BASELINES)
    assert all(find_dataset_file(name, path).is_file() for dataset in plan.datasets for name in dataset.paths)


def test_the_least_plan_has_all_methods_and_matchings_and_keeps_labels(tmp_path):
    plan = load(tmp_path, LEAST)
    assert (plan.methods, plan.triage.policy) == (METHODS, "keep")
    assert {"epochs", "steps"} <= set(plan.matchings)
    assert plan.keep_highest == 5


def test_a_number_of_seeds_counts_from_zero_and_a_list_names_them(tmp_path):
    assert load(tmp_path, "seeds = 3\n" + LEAST).seeds == (0, 1, 2)
    assert load(tmp_path, "seeds = [7, 5]\n" + LEAST).seeds == (7, 5)


def test_every_bad_key_is_named_at_once(tmp_path):
    text = (
        'methods = ["none", "mars"]\nseed = 3\n'
        + LEAST.replace("base_pairs = 10", 'base_pairs = "many"\ncolour = "red"')
        + "[allocation]\ntua = 1\n[training]\nepochs = 0\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    said = str(caught.value)
    assert "6 setting(s)" in said
    for place in ("methods.1 = 'mars'", "seed = 3", "datasets.0.base_pairs = 'many'", "datasets.0.colour = 'red'"):
        assert place in said
    assert "allocation.tua = 1" in said
    assert "training.epochs = 0" in said


@pytest.mark.parametrize(
    ("addition", "says"),
    [
        ('[allocation]\nlaw = "signed"\n', "allocation.law is decided by each method"),
        ('[triage]\npolicy = "ask"\n', "nobody is there to be asked"),
        ("[triage]\nfolds = 3\n", "nobody is there to be asked"),
        (LEAST[LEAST.index("[[") :].replace("= 10", "= 11"), "two datasets have the same name"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(tmp_path, addition, says):
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, LEAST + addition)


@pytest.mark.parametrize("line", ["seeds = 0", "seeds = [1, 1]", "seeds = true", 'methods = ["none", "none"]'])
def test_seeds_and_methods_are_some_and_each_once(tmp_path, line):
    with pytest.raises(ConfigError):
        load(tmp_path, f"{line}\n{LEAST}")


def test_files_that_cannot_be_read_are_said(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment_plan(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(tmp_path, "name = ")


def test_data_are_found_beside_the_plan_first_then_in_the_current_folder(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(ConfigError, match="there is no file"):
        find_dataset_file("d.jsonl", there / "plan.toml")
    (here / "d.jsonl").touch()
    assert find_dataset_file("d.jsonl", there / "plan.toml").resolve() == here / "d.jsonl"
    (there / "d.jsonl").touch()
    assert find_dataset_file("d.jsonl", there / "plan.toml").resolve() == there / "d.jsonl"


def test_without_the_semantic_layer_every_pair_passes_the_gate(tmp_path):
    plan = load(tmp_path, LEAST + '[gate]\nrule = "quantile"\n')
    assert plan.laboratory_config(semantic=True).gate.rule == "quantile"
    without = plan.laboratory_config(semantic=False).gate
    assert (without.rule, without.threshold) == ("fixed", 0)


@pytest.mark.parametrize("setting", ['matchings = ["convex"]', 'matchings = ["steps"]\nmethods = ["dropout_views"]'])
def test_what_cannot_be_fine_tuned_is_refused(tmp_path, setting):
    with pytest.raises(ConfigError, match="fine-tun"):
        load(tmp_path, f'train = "fine-tuned"\n{setting}\n' + LEAST)
