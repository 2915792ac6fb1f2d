"""The advantages that RLOO trains on, against figures worked by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_policy import PROMPTS, SunshineModel

from mars_engine.align.training.policy import load_policy, tolerated_warnings
from mars_engine.align.training.rewards import PolicyReward, RewardSource
from mars_engine.align.training.trl_methods import PlaceOfWork, train_online
from mars_engine.align.training.watch import Watcher
from mars_engine.core.config import AlignConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.reward_models.transformer.trainer import Interruption

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


def test_an_advantage_is_the_reward_less_the_mean_of_the_others(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import RLOOTrainer

    # Two prompts, three completions each, without KL:
    #   rewards 1, 2, 6:  1 - (2 + 6)/2 = -3,   2 - (1 + 6)/2 = -1.5,   6 - (1 + 2)/2 = 4.5
    #   rewards 0, 0, 3:  0 - (0 + 3)/2 = -1.5, the same again,         3 - 0 = 3
    rewards, expected = [1.0, 2, 6, 0, 0, 3], [-3.0, -1.5, 4.5, -1.5, -1.5, 3.0]
    seen: list[Any] = []
    original = RLOOTrainer._generate_and_score_completions

    def watched(self: Any, inputs: Any) -> Any:
        found = original(self, inputs)
        seen.append(found["advantages"].clone())
        return found

    monkeypatch.setattr(RLOOTrainer, "_generate_and_score_completions", watched)
    config = AlignConfig(
        policy=str(tiny_policy),
        method="rloo",
        steps=1,
        prompts_per_step=2,
        completions=3,
        max_new_tokens=4,
        kl_weight=0,
    )

    class Given(PolicyReward):
        def score(self, prompts: Any, completions: Any) -> Any:
            found = super().score(prompts, completions)
            found.rewards[:] = rewards if len(completions) == len(rewards) else 0.0
            return found

    policy, reward = load_policy(config), Given((RewardSource("given", SunshineModel()),))
    watcher = Watcher(policy, PROMPTS[:1], reward, config, tmp_path)
    with SilentProgress().task("align", 1) as task, tolerated_warnings():
        work = PlaceOfWork(tmp_path / "checkpoints", None, watcher, task, Interruption(), in_bf16=False)
        train_online(policy, PROMPTS[1:], reward, config, work)
    torch.testing.assert_close(seen[0].cpu(), torch.tensor(expected))
