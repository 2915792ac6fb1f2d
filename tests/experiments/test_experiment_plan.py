"""Plans of experiments: what is read, what is refused and how it is said."""

import re

import pytest

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import ConfigError
from mars_engine.core.shipped import shipped
from mars_engine.experiments.plan import (
    BASELINES,
    METHOD_NOTES,
    METHODS,
    find_dataset_file,
    load_experiment_plan,
)

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


LORA = 'train = "fine-tuned"\nmatchings = ["steps"]\nmethods = ["none", "uniform"]\n' + LEAST
BACKBONE = '[training]\nlearning_rate = 2e-4\nbackbone = "packaged-lm"\n'


def test_a_backbone_of_the_plans_own_gets_the_adapters_of_training_and_the_encoders_length_or_its_own(tmp_path):
    plan = load(tmp_path, LORA + BACKBONE + "[encoder]\nmax_tokens = 128\n")
    usual = RewardModelConfig()
    assert (plan.lora_config.lora, plan.lora_config.max_tokens) == (True, 128)
    assert (plan.lora_config.lora_r, plan.lora_config.lora_alpha) == (usual.lora_r, usual.lora_alpha)
    assert plan.backbone_note == "packaged-lm through LoRA (rank 16, α 32, above layer 1), texts of up to 128 tokens"
    own = load(tmp_path, LORA + BACKBONE + "max_tokens = 1024\nfrozen_layers = 0\n")
    assert own.lora_config.max_tokens == 1024
    assert "layer" not in own.backbone_note
    assert load(tmp_path, LORA).backbone_note == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LEAST + BACKBONE, 'training.backbone is named, but train = "head" trains none'),
        (LORA + BACKBONE.replace("packaged-lm", "probe"), 'training.backbone = "probe" is no transformer'),
        (LORA + BACKBONE.replace("packaged-lm", ""), "training.backbone = ''"),
        (LORA + '[training]\nbackbone = "packaged-lm"\n', "set one for LoRA, as 0.0002 to begin with"),
        (LORA + BACKBONE + "max_tokens = 15\n", "training.max_tokens is below 16"),
        (LORA + "[training]\nmax_tokens = 64\n", "training.max_tokens is for another backbone"),
        (LORA.replace('"steps"', '"convex"') + BACKBONE, "fine-tuning has no exact fit"),
    ],
)
def test_a_backbone_that_makes_no_sense_is_refused_with_the_reason(tmp_path, text, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        load(tmp_path, text)


def test_plans_without_a_backbone_of_their_own_decide_what_they_decided_before(tmp_path):
    """Their finished cells are found again: a plan's id depends on these keys and values."""
    training = {"epochs": 5.0, "batch_size": 64, "learning_rate": 0.01, "weight_decay": 0.01, "frozen_layers": 1}
    assert load(tmp_path, LEAST).decisive_settings()["training"] == training
    with_length = load(tmp_path, LORA + BACKBONE + "max_tokens = 64\n").decisive_settings()["training"]
    assert with_length == training | {"learning_rate": 2e-4, "max_tokens": 64}


@pytest.mark.parametrize("name", ["fine-tuned", "fine-tuned-lm"])
def test_the_shipped_plans_of_transformers_can_be_used(name):
    path = shipped("data") / "experiments" / f"{name}.toml"
    plan = load_experiment_plan(path)
    assert plan.train == "fine-tuned"
    assert plan.training.takes_lora == (name == "fine-tuned-lm")
    assert all(find_dataset_file(each, path).is_file() for dataset in plan.datasets for each in dataset.paths)
