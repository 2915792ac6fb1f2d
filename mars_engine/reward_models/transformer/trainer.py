"""A thin subclass of transformers' Trainer: chosen and rejected in one forward pass, in an order that can be resumed.

What the Trainer does is left to it: optimizer, schedule, accumulation, mixed precision, several processes, checkpoints.
"""

import math
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import ProgressTask
from mars_engine.core.whole_folder import plain_write_errors
from mars_engine.reward_models.protocols import TrainingNotes
from mars_engine.reward_models.transformer.checkpoints import checkpoint_at
from mars_engine.reward_models.transformer.collator import Example, PairCollator
from mars_engine.reward_models.transformer.losses import centering_loss, consistency_loss, pair_loss
from mars_engine.reward_models.transformer.processes import process_count
from mars_engine.stats.metrics import TIE

CHECKPOINTS_KEPT = 2
"""The newest and the one before; the best of early stopping is kept beside them."""
MOST_NAMED = 3
"""Pairs or weights that an error names one by one."""
SECONDS_BETWEEN_POINTS = 0.5
"""Steps that are quicker share a point, their mean, so that noting them never takes a good part of the time."""
STEP_METRICS = ("training loss", "training accuracy", "training margin")
LOGGED_NAMES = {"training loss": "loss", "training accuracy": "accuracy", "training margin": "margin"}
"""What transformers calls them; its trackers write train/ before."""


class EpochOrder(LengthGroupedSampler):
    """Shuffles examples into batches of similar length, by seed and epoch alone: so that any epoch can be resumed."""

    def __init__(self, batch_size: int, lengths: list[int], *, seed: int) -> None:
        super().__init__(batch_size, lengths=lengths)
        self._seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        order = torch.Generator().manual_seed(self._seed * 1_000_003 + self.epoch)
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=order))  # type: ignore[no-untyped-call]


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


class PairTrainer(Trainer):
    """Trains a sequence classifier with one output on pairs.

    Args:
        model: the classifier, or it with adapters.
        config: the loss and its parameters.
        args: what the Trainer is to do.
        collator: makes the batches; see PairCollator.
        train: what is trained on.
        validation: what early stopping looks at; may be empty.
        callbacks: are told of each step.
    """

    def __init__(
        self,
        model: Any,
        *,
        config: RewardModelConfig,
        args: TrainingArguments,
        collator: PairCollator,
        train: Sequence[Example],
        validation: Sequence[Example] = (),
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self._pair_loss = pair_loss(config)
        self._config = config
        self._sums = torch.zeros(4, dtype=torch.float64)
        self.order = EpochOrder(effective_batch(config), [each.pair.length for each in train], seed=config.seed)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=list(train),
            eval_dataset=list(validation) or None,
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)
        self.can_return_loss = True
        self.loss_is_scaled_for_ga = False

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:  # noqa: ARG002
        return self.order

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        return SequentialSampler(eval_dataset)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """Return the mean loss of a batch.

        Raises:
            ModelError: it is not a finite number; nothing was changed by it.
        """
        batch = dict(inputs)
        pair_ids, weights = batch.pop("pair_ids"), batch.pop("weights")
        label_confidence, variants = batch.pop("label_confidence"), batch.pop("variants")
        pulled = batch.pop("pulled")
        outputs = model(**batch)
        rewards = outputs.logits[:, 0].float()
        count = len(pair_ids)
        chosen, rejected = rewards[:count], rewards[count : 2 * count]
        margins = chosen - rejected
        loss = (weights * self._pair_loss(margins, label_confidence)).mean()
        if self._config.center_rewards_coefficient:
            loss = loss + self._config.center_rewards_coefficient * centering_loss(chosen, rejected)
        if len(variants):
            own = torch.stack([chosen[variants], rejected[variants]])
            pull = consistency_loss(own, rewards[2 * count :].view(2, -1), pulled.T, pairs=count)
            loss = loss + self._config.consistency_weight * pull
        self._require_finite(loss, margins, pair_ids)
        if model.training:
            self._count(loss, margins, label_confidence)
        return (loss, outputs) if return_outputs else loss

    def _require_finite(self, loss: Tensor, margins: Tensor, pair_ids: Sequence[str]) -> None:
        finite = torch.isfinite(loss).int()
        if self.accelerator.reduce(finite, "sum").item() == self.accelerator.num_processes:
            return
        bad = [
            f"{pair_id} ({margin})"
            for pair_id, margin in zip(pair_ids, margins.tolist(), strict=True)
            if not math.isfinite(margin)
        ]
        named = f" (margins that are no finite numbers: {_name_some(bad)})" if bad else ""
        value = f"{loss.item()}" if not finite else "no finite number in another process"
        if self.state.global_step == 0 and (broken := self._broken_weights()):
            raise ModelError(
                f"the loss is {value} before anything was learned, since there are values that are no finite numbers "
                f"in the weights that training began with: {_name_some(broken)}",
                expected="a backbone whose weights are whole",
                remedy="name another backbone or checkpoint, or save its weights anew",
            )
        raise ModelError(
            f"the loss became {value} at step {self.state.global_step + 1} of {self.state.max_steps}{named}, so "
            "training was stopped before it could spoil the weights",
            expected="a finite loss",
            remedy='lower learning_rate, raise warmup, or set precision = "fp32" under [reward_model] in mars.toml; '
            "what was saved before is whole",
        )

    def _broken_weights(self) -> list[str]:
        """Return the names of the weights that have values which are no finite numbers."""
        model: Any = self.model
        return [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight.detach()).all())]

    def _count(self, loss: Tensor, margins: Tensor, label_confidence: Tensor) -> None:
        labelled = torch.where(label_confidence >= 0.5, margins, -margins).detach()
        right = torch.where(labelled.abs() <= TIE, 0.5, (labelled > 0).to(labelled.dtype))
        sums = torch.stack([loss.detach() * len(margins), right.sum(), labelled.sum(), torch.ones_like(labelled).sum()])
        self._sums += self.accelerator.reduce(sums.double().cpu(), "sum")

    def take_step_figures(self) -> dict[str, float]:
        """Return the mean loss, accuracy and margin of the pairs seen since this was last asked."""
        *sums, count = self._sums.tolist()
        self._sums.zero_()
        return {name: value / count for name, value in zip(STEP_METRICS, sums, strict=True)} if count else {}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tell the tracker and the history, all but the Trainer's summary at the end.

        After a resumption that divides the loss and the pairs of some steps by the number and the time of others.
        """
        if "train_runtime" not in logs:
            super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        target = checkpoint_at(Path(str(self.args.output_dir)), self.state.global_step)
        try:
            with plain_write_errors(target), warnings.catch_warnings():
                # What peft does of itself where a padding token was added, and what is right.
                warnings.filterwarnings("ignore", "Setting `save_embedding_layers` to `True`", UserWarning)
                super()._save_checkpoint(model, trial)
        except ModelError:
            shutil.rmtree(target, ignore_errors=True)  # a part of a checkpoint only takes room
            raise


def effective_batch(config: RewardModelConfig) -> int:
    """Return the pairs of an optimizer step, however many processes share them."""
    return config.batch_size * config.gradient_accumulation


def share_of_batch(config: RewardModelConfig, processes: int) -> tuple[int, int]:
    """Return the pairs in one process's forward pass and how many passes it takes a step, so that a step stays a step.

    Raises:
        ConfigError: the pairs of a step cannot be shared evenly.
    """
    if config.gradient_accumulation % processes == 0:
        return config.batch_size, config.gradient_accumulation // processes
    if config.batch_size % processes == 0:
        return config.batch_size // processes, config.gradient_accumulation
    raise ConfigError(
        f"{processes} processes cannot evenly share {config.gradient_accumulation} passes of {config.batch_size} pairs",
        expected=f"a batch_size or gradient_accumulation that is a multiple of {processes}",
        remedy="change them under [reward_model] in mars.toml, or launch another number of processes",
    )


def training_arguments(config: RewardModelConfig, folder: Path, *, bf16: bool, use_cpu: bool) -> TrainingArguments:
    """Return what the Trainer is to do; checkpoints go into `folder`, whose name a tracker gives the run."""
    batch_size, gradient_accumulation = share_of_batch(config, process_count())
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        gradient_accumulation_steps=gradient_accumulation,
        learning_rate=config.with_rate().learning_rate,
        num_train_epochs=config.epochs,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        train_sampling_strategy="group_by_length",
        save_strategy="steps",
        save_steps=config.checkpoint_every,
        save_total_limit=CHECKPOINTS_KEPT,
        metric_for_best_model="eval_loss" if config.early_stopping_patience else None,
        greater_is_better=False if config.early_stopping_patience else None,
        prediction_loss_only=True,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",  # `tracked` adds the tracker
        run_name=folder.name,
        project="mars",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
        dataloader_pin_memory=not use_cpu,
        use_cpu=use_cpu,
        bf16=bf16,
        seed=config.seed,
    )
    args.report_to = []  # inside Kubeflow, "none" is not none
    if args.device.type == "cuda":
        args._n_gpu = 1  # several processes by accelerate, never several devices in one by DataParallel
    return args


def validation_losses(state: TrainerState) -> list[float]:
    """Return the losses on the pairs set aside, epoch by epoch."""
    return [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]


# -------------------------------------------------------------------------------------------------------- callbacks


@dataclass
class Interruption:
    """Whether somebody asked to stop."""

    asked: bool = False

    def asked_anywhere(self, accelerator: Accelerator) -> bool:
        """Whether somebody asked any of the processes, so that all of them stop at the same step."""
        asked = torch.tensor(int(self.asked), device=accelerator.device)
        return bool(accelerator.reduce(asked, "sum").item())


@contextmanager
def graceful_interrupt() -> Iterator[Interruption]:
    """Note the first Ctrl+C, so that fine-tuning can end in good order; a second one interrupts at once."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield interruption
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interruption.asked:
            signal.default_int_handler(number, frame)
        interruption.asked = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass
class Watch(TrainerCallback):
    """Tells of the steps, keeps each epoch's margins, and stops when asked or when an epoch no longer helps."""

    trainer: PairTrainer
    steps_per_epoch: int
    task: ProgressTask
    interruption: Interruption
    patience: int
    notes: TrainingNotes | None = None
    steps_before: int = 0
    keep_epoch: Callable[[int], None] | None = None
    noted_at: float = float("-inf")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        del args, kwargs
        self.task.resume(state.global_step)
        control.should_training_stop = self._is_over(state)
        return control

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        del args, control, kwargs
        self.trainer.order.epoch = state.global_step // self.steps_per_epoch

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        del args, kwargs
        noted = state.global_step == state.max_steps or time.monotonic() - self.noted_at >= SECONDS_BETWEEN_POINTS
        self.task.advance()
        if noted:
            self._note(state)
        if state.global_step % self.steps_per_epoch == 0:
            if self.keep_epoch is not None:
                self.keep_epoch(state.global_step // self.steps_per_epoch)
            control.should_evaluate = self.patience > 0
        if self.interruption.asked_anywhere(self.trainer.accelerator):
            if not noted:  # it was asked since: what is noted and what is saved are of one step
                self._note(state)
            control.should_save = control.should_training_stop = True
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        del args, kwargs
        losses = validation_losses(state)
        if self.notes is not None and state.is_world_process_zero:
            self.notes.add_point("validation loss", self.steps_before + state.global_step, losses[-1])
        control.should_save = control.should_save or losses[-1] < min(losses[:-1], default=float("inf"))
        control.should_training_stop = control.should_training_stop or self._is_over(state)
        return control

    def _is_over(self, state: TrainerState) -> bool:
        losses = validation_losses(state)
        return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= self.patience

    def _note(self, state: TrainerState) -> None:
        if not state.is_world_process_zero:
            return
        figures, self.noted_at = self.trainer.take_step_figures(), time.monotonic()
        if self.notes is not None:
            for name, value in figures.items():
                self.notes.add_point(name, self.steps_before + state.global_step, value)
        if figures:
            rate = self.trainer._get_learning_rate()
            self.trainer.log({LOGGED_NAMES[name]: value for name, value in figures.items()} | {"learning_rate": rate})
