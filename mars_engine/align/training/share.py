"""What a process that is not the first does of a training: it samples and learns, and never scores or saves."""

from collections.abc import Sequence
from pathlib import Path

from mars_engine.align.training.policy import load_policy, tolerated_warnings
from mars_engine.align.training.rewards import PolicyReward
from mars_engine.align.training.trl_methods import PlaceOfWork, train_on_pairs, train_online
from mars_engine.align.training.watch import Watcher
from mars_engine.core.config import AlignConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Pair, Prompt
from mars_engine.embeddings.devices import trains_in_bf16
from mars_engine.embeddings.pretrained import quiet_transformers
from mars_engine.reward_models.transformer.trainer import graceful_interrupt


def share_training(
    *,
    config: AlignConfig,
    checkpoints: Path,
    resumed: Path | None,
    prompts: Sequence[Prompt] = (),
    pairs: Sequence[Pair] = (),
) -> None:
    """Train on pairs where there are some, else online on prompts."""
    policy = load_policy(config)
    unasked = PolicyReward(())  # the first process scores and looks
    watcher = Watcher(policy, (), unasked, config, checkpoints)
    in_bf16 = trains_in_bf16(config.precision, policy.device)
    with (
        graceful_interrupt() as interruption,
        SilentProgress().task("align", config.steps) as bar,
        quiet_transformers(),
        tolerated_warnings(),
    ):
        work = PlaceOfWork(checkpoints, resumed, watcher, bar, interruption, in_bf16)
        if pairs:
            train_on_pairs(policy, pairs, config, work)
        else:
            train_online(policy, prompts, unasked, config, work)
