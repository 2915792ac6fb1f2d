"""What cannot be trained is told clearly: what was found, what was expected, what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from test_rewards import LengthModel
from tiny_causal import save_tiny_causal
from tiny_policy import PROMPTS

from mars_engine.align.training.policy import fitting_prompts, load_policy
from mars_engine.align.training.rewards import PolicyReward, RewardSource
from mars_engine.align.training.train import PolicyTask, train_policy
from mars_engine.align.training.trl_methods import divisor_within, share_of_step
from mars_engine.core.config import AlignConfig
from mars_engine.core.errors import ConfigError, ModelError, NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Turn

pytestmark = pytest.mark.model


def settings(policy: Path, **changed: Any) -> AlignConfig:
    return AlignConfig.model_validate({"policy": str(policy), "method": "ppo", "max_new_tokens": 8} | changed)


def train(policy: Path, folder: Path, prompts: Any = PROMPTS, reward: Any = None, **changed: Any) -> Any:
    task = PolicyTask(prompts, PolicyReward((RewardSource("length", reward or LengthModel()),)))
    return train_policy(
        settings(policy, **changed), task, policies=folder / "p", checkpoints=folder / "c", progress=SilentProgress()
    )


def test_a_tokenizer_without_a_chat_template_is_told_and_plain_text_is_a_way_out(tmp_path: Path) -> None:
    folder = save_tiny_causal(tmp_path / "plain", chat_template=False)
    with pytest.raises(ModelError, match=r'has no chat template.*template = "plain"'):
        load_policy(settings(folder))
    policy = load_policy(settings(folder, template="plain"))
    read = policy.tokenizer.decode(policy.prompt_ids(PROMPTS[0]))
    assert read == f"<s>user: {PROMPTS[0][0].content}\n\nassistant: "


def test_a_policy_that_lacks_weights_is_not_trained_with_random_ones(tmp_path: Path) -> None:
    folder = save_tiny_causal(tmp_path / "policy")
    file = folder / "model.safetensors"
    half = {name: weight for name, weight in load_file(file).items() if "layers.1" not in name}
    save_file(half, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights, such as model\.layers\.1.*correct policy under \[align\]"):
        load_policy(settings(folder))


def test_prompts_that_are_too_long_are_left_out_and_counted(tiny_policy: Path) -> None:
    long = (Turn("user", "rain " * 200),)
    policy = load_policy(settings(tiny_policy))
    found = fitting_prompts(policy, [*PROMPTS[:3], long], settings(tiny_policy))
    assert found.kept == PROMPTS[:3]
    assert (found.too_long, found.limit) == (1, 128 - 8)


def test_prompts_that_are_all_too_long_are_told(tiny_policy: Path, tmp_path: Path) -> None:
    long = tuple((Turn("user", f"rain{n} " * 200),) for n in range(20))
    with pytest.raises(NotReadyError, match=r"all 20 prompts are too long.*the policy takes 128 tokens"):
        train(tiny_policy, tmp_path, long)


def test_answers_that_leave_no_room_are_told(tiny_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="leave no room for a prompt"):
        train(tiny_policy, tmp_path, max_new_tokens=128)


def test_too_few_prompts_are_told(tiny_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="there are 8 prompts, and 8 are kept to be watched"):
        train(tiny_policy, tmp_path, PROMPTS[:8])


def test_a_reward_that_is_no_number_stops_the_training(tiny_policy: Path, tmp_path: Path) -> None:
    class Broken(LengthModel):
        def rate(self, text: str) -> float:  # noqa: ARG002
            return float("nan")

    with pytest.raises(ModelError, match="'length' returned nan"):
        train(tiny_policy, tmp_path, reward=Broken())


def test_an_adapter_is_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="is an adapter"):
        load_policy(settings(tmp_path / "adapter"))


def test_a_missing_package_is_told(tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars_engine.align.training.trl_methods.importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'mars-engine[align]'")):
        train(tiny_policy, tmp_path, method="rloo")


@pytest.mark.parametrize(("total", "most", "expected"), [(32, 8, 8), (12, 8, 6), (7, 4, 1), (4, 100, 4)])
def test_a_pass_takes_an_even_share(total: int, most: int, expected: int) -> None:
    assert divisor_within(total, most) == expected


def test_what_several_processes_cannot_share_is_told(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert share_of_step(12, "pairs") == 12
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert share_of_step(12, "pairs") == 6
    with pytest.raises(ConfigError, match=r"2 processes cannot evenly share the 3 pairs of a step.*a multiple of 2"):
        share_of_step(3, "pairs")
    with pytest.raises(ConfigError, match=r"'ppo' trains a policy in one.*choose --method rloo, grpo or dpo"):
        train(tiny_policy, tmp_path)
