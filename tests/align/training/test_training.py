"""The four methods on a tiny policy and a rule as the reward: they learn, keep near, resume, and save what loads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import ttest_rel
from tiny_policy import PROMPTS, SunshineModel, sunshine

from mars_engine.align.blind.sheets import load_sheet
from mars_engine.align.training.facts import TrainedPolicy
from mars_engine.align.training.guards import Look
from mars_engine.align.training.looks import NEWEST_SHEET, REFERENCE_SHEET, load_looks
from mars_engine.align.training.policy import Policy, load_policy
from mars_engine.align.training.rewards import PolicyReward, RewardSource
from mars_engine.align.training.sampling import likelihoods, sample_completions
from mars_engine.align.training.train import PolicyTask, train_policy
from mars_engine.core.config import AlignConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Pair, Prompt

pytestmark = [
    pytest.mark.model,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

WATCHED = 24
TASK = PolicyTask(PROMPTS, PolicyReward((RewardSource("sunshine", SunshineModel()),)))
DRAWS = 16
STEPS = {"dpo": 40, "rloo": 20, "grpo": 20, "ppo": 10}
RATES = {"dpo": 2e-3, "rloo": 1e-2, "grpo": 5e-3, "ppo": 1e-2}
METHODS = tuple(RATES)


def settings(policy: Path, method: str, **changed: Any) -> AlignConfig:
    usual: dict[str, Any] = {
        "policy": str(policy),
        "method": method,
        "steps": STEPS[method],
        "prompts_per_step": 8,
        "completions": 16 if method == "dpo" else 8,
        "max_new_tokens": 10,
        "micro_batch": 64,
        "learning_rate": RATES[method],
        "dpo_sft_weight": 1.0,
        "kl_weight": 0.1 if method == "dpo" else 0.02,
        "lora_dropout": 0.0,
        "watched_prompts": WATCHED,
        "watch_every": 1000,
        "checkpoint_every": 1000,
    }
    return AlignConfig.model_validate(usual | changed)


def train(folder: Path, config: AlignConfig, task: PolicyTask = TASK, **how: Callable[..., None]) -> TrainedPolicy:
    return train_policy(
        config, task, policies=folder / "policies", checkpoints=folder / "checkpoints", progress=SilentProgress(), **how
    )


def looks(trained: TrainedPolicy) -> list[Look]:
    return load_looks(trained.folder)


def mean_sunshine(policy: Policy, model: Any, config: AlignConfig) -> np.ndarray:
    """The mean reward of several answers to each watched prompt."""
    torch.manual_seed(1)
    asked = [prompt for prompt in PROMPTS[:WATCHED] for _ in range(DRAWS)]
    texts = sample_completions(policy, model, asked, config).texts
    return np.array([sunshine(text) for text in texts]).reshape(-1, DRAWS).mean(axis=1)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_raises_the_reward_and_its_adapter_loads_in_plain_peft(
    method: str, tiny_policy: Path, tmp_path: Path
) -> None:
    noted: dict[str, list[float]] = {}
    config = settings(tiny_policy, method)
    trained = train(tmp_path, config, add_point=lambda name, _step, value: noted.setdefault(name, []).append(value))

    first, last = looks(trained)
    assert (first.step, last.step) == (0, config.steps)
    assert [sunshine(text) for text in last.texts] == last.rewards.tolist()
    assert trained.facts.reward_after == pytest.approx(last.rewards.mean())
    assert noted["watched reward"] == [first.rewards.mean(), last.rewards.mean()]
    for file, look in ((REFERENCE_SHEET, first), (NEWEST_SHEET, last)):
        assert load_sheet(trained.folder / file).answers == dict(zip(PROMPTS[:WATCHED], look.texts, strict=True))
    assert len(noted["loss" if method != "ppo" else "policy loss"]) == config.steps

    from peft import AutoPeftModelForCausalLM

    loaded = AutoPeftModelForCausalLM.from_pretrained(trained.folder)
    policy = load_policy(config)
    torch.manual_seed(config.seed)
    again = sample_completions(policy, loaded, PROMPTS[:WATCHED], config)
    assert again.texts == last.texts, "the same draws of the same policy"
    after = mean_sunshine(policy, loaded, config)
    with loaded.disable_adapter():
        before = mean_sunshine(policy, loaded, config)
    assert ttest_rel(after, before, alternative="greater").pvalue < 0.01, (before.mean(), after.mean())
    greedy = sample_completions(policy, loaded, PROMPTS[:WATCHED], config, greedy=True).texts
    merged = sample_completions(policy, loaded.merge_and_unload(), PROMPTS[:WATCHED], config, greedy=True).texts
    assert greedy == merged


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_a_higher_kl_weight_ends_at_a_lower_kl(method: str, tiny_policy: Path, tmp_path: Path) -> None:
    low, high = (
        train(tmp_path, settings(tiny_policy, method, kl_weight=weight, steps=10)).facts.kl for weight in (0.0, 1.0)
    )
    assert high < low / 2


@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_was_interrupted_ends_with_the_same_weights(
    method: str, tiny_policy: Path, tmp_path: Path
) -> None:
    config = settings(tiny_policy, method, steps=4, checkpoint_every=2, prompts_per_step=4, lora_dropout=0.1)
    whole = train(tmp_path / "whole", config)
    stop = "policy loss" if method == "ppo" else "loss"

    def interrupt(name: str, step: int, _value: float) -> None:
        if name == stop and step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", config, add_point=interrupt)
    steps: list[int] = []
    resumed = train(
        tmp_path / "cut", config, add_point=lambda name, step, _: steps.append(step) if name == stop else None
    )
    assert steps == [3, 4]
    one, other = (load_file(each.folder / "adapter_model.safetensors") for each in (whole, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.facts == whole.facts
    assert not list((tmp_path / "cut" / "checkpoints").iterdir())


def test_a_policy_that_is_there_is_not_trained_again(tiny_policy: Path, tmp_path: Path) -> None:
    config = settings(tiny_policy, "ppo", steps=1)
    once = train(tmp_path, config)

    def refuse(name: str, _step: int, _value: float) -> None:
        raise AssertionError(f"it was trained again: {name}")

    assert train(tmp_path, config, add_point=refuse) == once


def test_a_merged_policy_is_a_whole_model(tiny_policy: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    apart, whole = (train(tmp_path, settings(tiny_policy, "ppo", steps=2, merge=merge)) for merge in (False, True))
    config = settings(tiny_policy, "ppo")
    policy, merged = load_policy(config), AutoModelForCausalLM.from_pretrained(whole.folder)
    from peft import AutoPeftModelForCausalLM

    adapted = AutoPeftModelForCausalLM.from_pretrained(apart.folder)
    texts = [sample_completions(policy, each, PROMPTS[:8], config, greedy=True).texts for each in (merged, adapted)]
    assert texts[0] == texts[1]


def test_training_stops_once_the_budget_of_kl_is_spent(tiny_policy: Path, tmp_path: Path) -> None:
    told: list[str] = []
    config = settings(tiny_policy, "ppo", kl_weight=0.0, kl_budget=0.5, watch_every=2)
    trained = train(tmp_path, config, say=told.append)
    assert trained.facts.steps < config.steps
    assert trained.facts.kl > 0.5
    assert any("the budget of KL is spent" in sentence for sentence in told)


def test_a_policy_that_hacks_length_raises_an_alarm(tiny_policy: Path, tmp_path: Path) -> None:
    class Wordiness(SunshineModel):
        def rate(self, text: str) -> float:
            return float(len(text.split()))

    told: list[str] = []
    task = PolicyTask(PROMPTS, PolicyReward((RewardSource("words", Wordiness("words")),)))
    trained = train(tmp_path, settings(tiny_policy, "ppo", watch_every=5), task, say=told.append)
    assert any("answers have become longer" in sentence for sentence in told)
    card = (trained.folder / "README.md").read_text(encoding="utf-8")
    assert "* Alarm: answers have become longer" in card


def test_an_ensemble_whose_members_part_raises_an_alarm(tiny_policy: Path, tmp_path: Path) -> None:
    class Wordiness(SunshineModel):
        def rate(self, text: str) -> float:
            return float(len(text.split()))

    told: list[str] = []
    noted: list[float] = []
    sources = (
        RewardSource("words", Wordiness("words"), mean=4.0, deviation=1.5),
        RewardSource("sunshine", SunshineModel(), mean=0.33, deviation=0.3),
    )
    trained = train(
        tmp_path,
        settings(tiny_policy, "ppo", watch_every=5),
        PolicyTask(PROMPTS, PolicyReward(sources)),
        say=told.append,
        add_point=lambda name, _, value: noted.append(value) if name == "disagreement" else None,
    )
    before, *_, after = looks(trained)
    by_hand = [
        np.std([(len(text.split()) - 4.0) / 1.5, (sunshine(text) - 0.33) / 0.3])
        for text in (*before.texts, *after.texts)
    ]
    assert [*before.disagreement, *after.disagreement] == pytest.approx(by_hand)
    assert (noted[0], noted[-1]) == (before.disagreement.mean(), after.disagreement.mean())
    assert any("the reward models disagree more" in sentence for sentence in told), noted
    assert f"| {after.disagreement.mean():.3f} |" in (trained.folder / "README.md").read_text(encoding="utf-8")


def test_plain_dpo_raises_the_margin_of_chosen_over_rejected(tiny_policy: Path, tmp_path: Path) -> None:
    """Measured by hand on pairs that were not trained on, with the adapter on and off."""
    pairs = [Pair.of(prompt, "sun warm", "rain cold") for prompt in PROMPTS]
    task = PolicyTask(PROMPTS, TASK.reward, pairs=pairs[WATCHED:])
    config = settings(tiny_policy, "dpo", dpo_pairs="training", dpo_sft_weight=0.0, steps=10)
    trained = train(tmp_path, config, task)

    from peft import AutoPeftModelForCausalLM

    loaded = AutoPeftModelForCausalLM.from_pretrained(trained.folder)
    policy = load_policy(config)
    after = margins(policy, loaded, pairs[:WATCHED])
    with loaded.disable_adapter():
        before = margins(policy, loaded, pairs[:WATCHED])
    assert (after > before).all(), (before, after)
    assert "dpo_sft_weight = 0.0" in (trained.folder / "README.md").read_text(encoding="utf-8")


def margins(policy: Policy, model: Any, pairs: Sequence[Pair]) -> np.ndarray:
    """log π(chosen) − log π(rejected) of each pair, in nats."""

    def log_probability(prompt: Prompt, text: str) -> float:
        answer = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        tokens = torch.tensor([[*policy.prompt_ids(prompt), *answer]])
        with torch.no_grad():
            found = likelihoods(model, tokens, torch.ones_like(tokens), len(answer), temperature=1.0)
        return float(found.logprobs.sum())

    return np.array(
        [log_probability(each.prompt, each.chosen) - log_probability(each.prompt, each.rejected) for each in pairs]
    )


def test_dpo_tells_the_sides_of_given_pairs_apart(tiny_policy: Path, tmp_path: Path) -> None:
    pairs = [Pair.of(prompt, "sun warm", "rain cold") for prompt in PROMPTS]
    long = Pair.of(PROMPTS[0], "sun " * 100, "rain")
    task = PolicyTask(PROMPTS, TASK.reward, pairs=(*pairs, long))
    accuracies: list[float] = []
    config = settings(tiny_policy, "dpo", dpo_pairs="training", steps=10)
    trained = train(
        tmp_path,
        config,
        task,
        add_point=lambda name, _, value: accuracies.append(value) if "accuracy" in name else None,
    )
    assert accuracies[-1] == 1.0
    assert trained.facts.remarks == ("1 pairs are too long and were left out",)
