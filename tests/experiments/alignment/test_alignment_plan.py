"""Plans of comparisons by policies: the ready ones can be used, and what cannot is said."""

from pathlib import Path

import pytest

from mars_engine.core.errors import ConfigError
from mars_engine.experiments.alignment.plan import AlignmentPlan, load_alignment_plan

READY = sorted((Path(__file__).parents[3] / "data" / "align").glob("*-plan.toml"))
LEAST = 'name = "p"\njudge = "other"\n'


def load(folder: Path, text: str) -> AlignmentPlan:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return load_alignment_plan(path)


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_plans_can_be_used_and_have_the_papers_lora(path: Path) -> None:
    plan = load_alignment_plan(path)
    assert plan.methods == ("none", "uniform", "west_of_n", "mars_signed", "mars_triage")
    assert (plan.align.lora_r, plan.align.lora_alpha, plan.align.lora_dropout) == (16, 32, 0.05)
    assert plan.heads(100).datasets[0].base_pairs == 100


def test_there_are_ready_plans_for_a_laptop_and_for_gpus() -> None:
    policies = {load_alignment_plan(path).align.policy for path in READY}
    assert policies == {"packaged-lm", "meta-llama/Llama-3.2-1B-Instruct"}


def test_each_policy_has_the_plans_settings_with_its_own_way_and_seed(tmp_path: Path) -> None:
    plan = load(tmp_path, LEAST + "[align]\nsteps = 7\n")
    settings = plan.align_settings("ppo", 3)
    assert (settings.method, settings.seed, settings.steps) == ("ppo", 3, 7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "p"\n', "judge"),
        (LEAST + "colour = 1\n", "colour = 1"),
        (LEAST + 'methods = ["mars"]\n', "methods.0 = 'mars'"),
        (LEAST + 'ways = ["sft"]\n', "ways.0 = 'sft'"),
        (LEAST + "ways = []\n", "names nothing"),
        (LEAST + 'ways = ["ppo", "ppo"]\n', "names something twice"),
        (LEAST + "[align]\nsteeps = 3\n", "align.steeps = 3"),
        (LEAST + '[align]\nmethod = "ppo"\nseed = 1\n', "align.method and align.seed: left to 'ways' and 'seeds'"),
        (LEAST + 'ways = ["ppo"]\n[align]\nppo_minibatches = 3\n', "cannot share 16 completions a step"),
        (LEAST + 'ways = ["dpo"]\n[align]\ndpo_pairs = "training"\n', "asks no reward model"),
        (LEAST + 'ways = ["best-of-n"]\n[align]\ntemplate = "plain"\n', "asks in the chat template"),
        (
            LEAST + '[training]\nbackbone = "packaged-lm"\nlearning_rate = 2e-4\n',
            "the reward models compared are heads",
        ),
        (LEAST + 'methods = ["judge"]\n', "needs labels that are known to be wrong"),
        (LEAST + 'methods = ["self_training"]\n', "name base_pairs"),
        (LEAST + 'datasets = "x"\n', "datasets = 'x'"),
    ],
)
def test_what_a_plan_cannot_say_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
