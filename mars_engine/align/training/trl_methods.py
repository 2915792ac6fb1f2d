"""DPO, RLOO and GRPO by TRL, with rewards of our own models.

TRL gets the reward as a callable, never as a module: tokenizer, template and truncation stay those of the reward
model. It wraps the policy itself, since then the reference is the policy with its adapter off, without a copy.

Under `accelerate launch` each process samples and learns from its share of a step. The first alone scores completions
and looks at the policy; meanwhile the others do their share of the scoring, where the reward model has it shared.
"""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from transformers import PrinterCallback, ProgressCallback, TrainerCallback, TrainerControl, TrainerState

from mars_engine.align.training.policy import Policy, lora_settings
from mars_engine.align.training.rewards import PolicyReward
from mars_engine.align.training.watch import Watcher
from mars_engine.core.config import AlignConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import ProgressTask
from mars_engine.core.records import Pair, Prompt
from mars_engine.core.whole_folder import plain_write_errors
from mars_engine.reward_models.transformer.processes import done_by_first, process_count, process_number
from mars_engine.reward_models.transformer.trainer import CHECKPOINTS_KEPT, Interruption

LOGGED = {
    "loss": "loss",
    "reward": "reward",
    "entropy": "entropy",
    "completions/mean_length": "completion tokens",
    "frac_reward_zero_std": "zero-variance groups",
    "rewards/accuracies": "preference accuracy",
    "rewards/margins": "preference margin",
}
"""What TRL calls its figures, and what we do."""


def require_trl() -> None:
    """Raise ConfigError unless TRL is installed."""
    if importlib.util.find_spec("trl") is None:
        raise ConfigError(
            "the methods 'dpo', 'rloo' and 'grpo' need the package trl, which is not installed",
            remedy="run \"pip install 'mars-engine[align]'\", or choose --method ppo, which needs none",
        )


@dataclass(frozen=True)
class PlaceOfWork:
    """Where checkpoints are and go, from which one it goes on, and who watches."""

    checkpoints: Path
    resumed: Path | None
    watcher: Watcher
    task: ProgressTask
    interruption: Interruption
    in_bf16: bool


def train_online(
    policy: Policy, prompts: Sequence[Prompt], reward: PolicyReward, config: AlignConfig, work: PlaceOfWork
) -> Any:
    """Train by RLOO or GRPO, and return the model with its adapter."""
    import trl
    from datasets import Dataset

    rows = [{"prompt": policy.turns(prompt), "place": place} for place, prompt in enumerate(prompts)]
    names: Any = trl  # it exports by name, lazily
    trainer_type, config_type = (
        (names.RLOOTrainer, names.RLOOConfig) if config.method == "rloo" else (names.GRPOTrainer, names.GRPOConfig)
    )
    own_share = share_of_step(config.completions_per_step, "completions (prompts_per_step × completions)")
    in_one_pass = divisor_within(own_share, config.micro_batch)
    args = config_type(
        **_common_arguments(config, work),
        per_device_train_batch_size=in_one_pass,
        gradient_accumulation_steps=own_share // in_one_pass,
        num_generations=config.completions,
        max_completion_length=config.max_new_tokens,
        temperature=config.temperature,
        beta=config.kl_weight,
        epsilon=config.clip,
    )
    trainer = trainer_type(
        model=policy.model,
        reward_funcs=reward_callable(prompts, reward, work.watcher),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
        peft_config=lora_settings(policy.model, config),
    )
    return _run(trainer, config, work)


def train_on_pairs(policy: Policy, pairs: Sequence[Pair], config: AlignConfig, work: PlaceOfWork) -> Any:
    """Train by DPO on pairs, and return the model with its adapter."""
    import trl
    from datasets import Dataset

    own_share = share_of_step(config.prompts_per_step, "pairs (prompts_per_step)")
    in_one_pass = divisor_within(own_share, config.micro_batch)
    names: Any = trl  # it exports by name, lazily
    args = names.DPOConfig(
        **_common_arguments(config, work),
        per_device_train_batch_size=in_one_pass,
        gradient_accumulation_steps=own_share // in_one_pass,
        max_length=None,
        beta=config.kl_weight,
        **_dpo_loss(config),
    )
    trainer = names.DPOTrainer(
        model=policy.model,
        args=args,
        train_dataset=Dataset.from_list([_as_row(policy, pair) for pair in pairs]),
        processing_class=policy.tokenizer,
        peft_config=lora_settings(policy.model, config),
    )
    return _run(trainer, config, work)


def _dpo_loss(config: AlignConfig) -> dict[str, Any]:
    if not config.dpo_sft_weight:
        return {}
    return {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, config.dpo_sft_weight]}


def _as_row(policy: Policy, pair: Pair) -> dict[str, Any]:
    if policy.template == "plain":
        return {"prompt": policy.turns(pair.prompt), "chosen": pair.chosen, "rejected": pair.rejected}
    sides = {"chosen": pair.chosen, "rejected": pair.rejected}
    answers = {side: [{"role": "assistant", "content": text}] for side, text in sides.items()}
    return {"prompt": policy.turns(pair.prompt), **answers}


def share_of_step(total: int, what: str) -> int:
    """Return how much of a step one process has, so that a step stays a step however many share it.

    Raises:
        ConfigError: it cannot be shared evenly.
    """
    if total % process_count():
        raise ConfigError(
            f"{process_count()} processes cannot evenly share the {total:,} {what} of a step",
            expected=f"a multiple of {process_count()}",
            remedy="change them under [align] in mars.toml, or launch another number of processes",
        )
    return total // process_count()


def divisor_within(total: int, most: int) -> int:
    """Return how many completions or pairs TRL takes in one pass: the largest divisor of `total` up to `most`."""
    return next(number for number in range(min(total, most), 0, -1) if total % number == 0)


def reward_callable(prompts: Sequence[Prompt], reward: PolicyReward, watcher: Watcher) -> Callable[..., list[float]]:
    """Return what TRL asks for the rewards of completions, whose prompts it names by their place.

    The first process scores those of all processes together.
    """

    def reward_of(completions: Sequence[Any], place: Sequence[int], **_columns: Any) -> list[float]:
        texts = [each if isinstance(each, str) else each[-1]["content"] for each in completions]
        asked: list[tuple[int, str]] = gather_object(list(zip(place, texts, strict=True)))
        rewards = done_by_first(lambda: score(asked))
        before = process_number() * len(texts)
        return rewards[before : before + len(texts)]

    def score(asked: Sequence[tuple[int, str]]) -> list[float]:
        texts = [text for _, text in asked]
        rewards: list[float] = reward.score([prompts[place] for place, _ in asked], texts).rewards.tolist()
        watcher.saw(texts, rewards)
        return rewards

    return reward_of


def _common_arguments(config: AlignConfig, work: PlaceOfWork) -> dict[str, Any]:
    return {
        "output_dir": str(work.checkpoints),
        "max_steps": config.steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "save_strategy": "steps",
        "save_steps": config.checkpoint_every,
        "save_total_limit": CHECKPOINTS_KEPT,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "gradient_checkpointing": None,
        "use_cpu": work.watcher.policy.device.type == "cpu",
        "bf16": work.in_bf16,
        "seed": config.seed,
    }


def _run(trainer: Any, config: AlignConfig, work: PlaceOfWork) -> Any:
    trainer.add_callback(Reporter(work, config, trainer.accelerator))
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.args.report_to = []
    if trainer.args.device.type == "cuda":
        trainer.args._n_gpu = 1
    with plain_write_errors(work.checkpoints):
        trainer.train(resume_from_checkpoint=str(work.resumed) if work.resumed else None)
    if work.interruption.asked:
        raise KeyboardInterrupt
    return trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)


@dataclass
class Reporter(TrainerCallback):
    """Tells of each step, has the watcher look, and stops when asked or when the budget of KL is spent."""

    work: PlaceOfWork
    config: AlignConfig
    accelerator: Accelerator

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        del args, control, kwargs
        self.work.task.resume(state.global_step)
        done_by_first(lambda: self.work.watcher.begin(model, state.global_step))

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> TrainerControl:
        del args, kwargs
        self.work.task.advance()
        control.should_training_stop |= done_by_first(lambda: self.work.watcher.after_step(model, state.global_step))
        if self.work.interruption.asked_anywhere(self.accelerator):
            self.work.interruption.asked = True
            control.should_save = control.should_training_stop = True
        return control

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        del args, control, kwargs
        logs = logs or {}
        if "train_runtime" in logs:
            return
        figures = {name: logs[key] for key, name in LOGGED.items() if logs.get(key) is not None}
        if logs.get("kl") is not None:  # a mean of tokens; a completion's is told
            figures["KL"] = logs["kl"] * logs["completions/mean_length"]
        _require_finite(figures, state.global_step)
        for name, value in figures.items():
            self.work.watcher.add_point(name, state.global_step, float(value))


def _require_finite(figures: Mapping[str, float], step: int) -> None:
    loss = figures.get("loss", 0.0)
    if not math.isfinite(loss):
        raise ModelError(
            f"the loss of the policy became {loss} at step {step:,}, so training was stopped",
            expected="a finite loss",
            remedy='lower learning_rate, or set precision = "fp32" under [align] in mars.toml; what was saved '
            "before is whole",
        )
