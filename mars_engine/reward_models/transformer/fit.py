"""Fine-tuning a transformer on a training set, from the backbone to the model that scores, in reading order."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from safetensors.torch import load_file

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import TrainingSet
from mars_engine.embeddings.devices import find_device, trains_in_bf16
from mars_engine.embeddings.pretrained import quiet_transformers
from mars_engine.reward_models.protocols import TrainingNotes
from mars_engine.reward_models.transformer.backbone import (
    Backbone,
    add_lora,
    load_backbone,
    load_probe_backbone,
    record_settings,
)
from mars_engine.reward_models.transformer.card import TrainingFacts, render_card, settings_in_force
from mars_engine.reward_models.transformer.checkpoints import checkpoint_at
from mars_engine.reward_models.transformer.collator import PairCollator
from mars_engine.reward_models.transformer.examples import Examples, make_examples
from mars_engine.reward_models.transformer.model import TransformerRewardModel, score_tokenized
from mars_engine.reward_models.transformer.probe_head import WEIGHTS_FILE, PooledRewardModel
from mars_engine.reward_models.transformer.probe_start import ProbePairs, ProbeStart
from mars_engine.reward_models.transformer.tokenize import TokenizedPair, count_truncation
from mars_engine.reward_models.transformer.tracking import TENSORBOARD, tracked
from mars_engine.reward_models.transformer.trainer import (
    PairTrainer,
    Watch,
    effective_batch,
    graceful_interrupt,
    training_arguments,
    validation_losses,
)


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A trained model, and the optimizer steps that its schedule had."""

    model: TransformerRewardModel
    steps: int


def fine_tune(
    config: RewardModelConfig,
    folder: Path,
    training_set: TrainingSet,
    *,
    model_id: str,
    checkpoints: Path,
    resumed: Path | None,
    start: ProbeStart | None = None,
    progress: Progress,
    notes: TrainingNotes | None = None,
    steps_before: int = 0,
) -> FineTuned:
    """Train a transformer; see `TransformerTrainer.train`.

    Several processes share each step and end with equal weights. Where the pairs of an epoch do not fill its last
    step evenly, they train on a few of them twice.

    Args:
        config: settings.
        folder: of the backbone.
        training_set: what is trained on.
        model_id: id of the model that it becomes.
        checkpoints: where this training's checkpoints are, and go.
        resumed: the checkpoint from which it goes on, None to begin.
        start: under the head 'probe', the solution that it starts from.
        progress: shows how far it has come.
        notes: is told of each step, and of each epoch's margins where they are to be kept.
        steps_before: added to the numbers of the steps that are noted.
    """
    device = find_device(config.device, section="reward_model")
    in_bf16 = trains_in_bf16(config.precision, device)
    backbone = _load(folder, config, start)
    if hasattr(backbone.model.config, "use_cache"):
        backbone.model.config.use_cache = False  # a whole text is read at once
    rows = backbone.pairs.tokenize(training_set.pairs, progress=progress)
    percent = config.validation_percent if config.early_stopping_patience else 0
    examples = make_examples(training_set, rows, validation_percent=percent, seed=config.seed)
    torch.manual_seed(config.seed)  # the adapters' first weights
    trained = add_lora(backbone, config) if config.lora else backbone.model

    trainer = PairTrainer(
        trained,
        config=config,
        args=training_arguments(config, checkpoints, bf16=in_bf16, use_cpu=device.type == "cpu"),
        collator=PairCollator(backbone.padding, with_sources=config.consistency_weight > 0),
        train=examples.train,
        validation=examples.validation,
    )
    steps_per_epoch = ceil(len(examples.train) / effective_batch(config))
    steps = steps_per_epoch * config.epochs
    with graceful_interrupt() as interruption, progress.task("train", steps) as task, quiet_transformers():
        watch = Watch(
            trainer=trainer,
            steps_per_epoch=steps_per_epoch,
            task=task,
            interruption=interruption,
            patience=config.early_stopping_patience,
            notes=notes,
            steps_before=steps_before,
            keep_epoch=_epoch_keeper(config, trainer, examples, backbone, model_id, notes)
            if config.trajectory
            else None,
        )
        trainer.add_callback(watch)
        with tracked(trainer, config.report_to, tensorboard=checkpoints.parent.with_name(TENSORBOARD) / model_id):
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        if interruption.asked_anywhere(trainer.accelerator):
            raise KeyboardInterrupt
        if trainer.is_fsdp_enabled:  # the weights lie in parts, one in each process
            weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
            backbone = _load(folder, config, start)
            trained = add_lora(backbone, config) if config.lora else backbone.model
            if trainer.is_world_process_zero():
                trained.load_state_dict(weights)
        trainer.accelerator.wait_for_everyone()  # the first may still be writing the checkpoint that all read now
    trained = trainer.accelerator.unwrap_model(trained, keep_fp32_wrapper=False)  # it scores in fp32 from now on

    if config.early_stopping_patience and trainer.state.best_global_step:
        _load_weights(trained, checkpoint_at(checkpoints, trainer.state.best_global_step))
    if config.lora:
        backbone = replace(backbone, model=trained.merge_and_unload())
    record_settings(backbone)
    backbone.model.eval()
    pairs = backbone.pairs
    facts = TrainingFacts(
        model_id=model_id,
        backbone=config.backbone,
        input_format=pairs.input_format,
        max_tokens=pairs.max_tokens,
        settings=settings_in_force(config),
        base_pairs=len(examples.base),
        variants=len(rows) - len(examples.base),
        validation_pairs=len(examples.validation),
        steps=trainer.state.global_step,
        validation_losses=tuple(validation_losses(trainer.state)),
        truncation=count_truncation(rows),
        in_bf16=in_bf16,
        pad_token_added=backbone.pad_token_added,
        pooled=pairs.reading if isinstance(pairs, ProbePairs) else None,
        in_template=isinstance(pairs, ProbePairs) and pairs.passages.has_chat_template,
        fsdp_unused=os.environ.get("ACCELERATE_USE_FSDP") == "true" and not trainer.is_fsdp_enabled,
    )
    model = TransformerRewardModel(
        model_id, backbone, config.batch_tokens, card=render_card(facts), remarks=_remarks(facts)
    )
    return FineTuned(model, steps)


def _load(folder: Path, config: RewardModelConfig, start: ProbeStart | None) -> Backbone:
    return load_backbone(folder, config) if start is None else load_probe_backbone(folder, start)


WITHOUT_FSDP = (
    "accelerate was configured for FSDP and did not use it, as it does on a processor: each process had whole weights"
)


def _remarks(facts: TrainingFacts) -> tuple[str, ...]:
    arithmetic = "bf16, with weights in fp32; rewards are computed in fp32" if facts.in_bf16 else "fp32"
    repaired = (
        ["a padding token was added, since the backbone pads with its end token or has none to pad with"]
        if facts.pad_token_added
        else []
    )
    whole = [WITHOUT_FSDP] if facts.fsdp_unused else []
    return (f"trained in {arithmetic}", *repaired, *whole)


def _epoch_keeper(
    config: RewardModelConfig,
    trainer: PairTrainer,
    examples: Examples,
    backbone: Backbone,
    model_id: str,
    notes: TrainingNotes | None,
) -> Callable[[int], None]:
    """Return what scores the base pairs after an epoch and notes their margins."""

    def keep(epoch: int) -> None:
        base: Sequence[TokenizedPair] = examples.base
        model: Any = trainer.model_wrapped
        with nullcontext() if trainer.is_fsdp_enabled else _without_autocast(model):  # FSDP gathers weights in bf16
            scored = score_tokenized(
                model, base, backbone.padding, batch_tokens=config.batch_tokens, progress=SilentProgress()
            )
        if notes is not None and trainer.is_world_process_zero():
            margins = zip([row.id for row in base], scored.margins.tolist(), strict=True)
            notes.add_epoch(model_id, epoch, dict(margins))

    return keep


@contextmanager
def _without_autocast(wrapped: Any) -> Iterator[None]:
    """Have a model compute in fp32 meanwhile: for bf16, accelerate replaces its forward by one under autocast."""
    model = extract_model_from_parallel(wrapped)
    original, replaced = model.__dict__.get("_original_forward"), model.__dict__.get("forward")
    if original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = replaced


def _load_weights(model: Any, checkpoint: Path) -> None:
    """Put a checkpoint's weights, or its adapters', into the model."""
    adapters = checkpoint / "adapter_model.safetensors"
    if adapters.is_file():
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(adapters))
        return
    if isinstance(model, PooledRewardModel):
        model.load_state_dict(load_file(checkpoint / WEIGHTS_FILE))
        return
    from transformers import AutoModelForSequenceClassification

    saved = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32)
    model.load_state_dict(saved.state_dict())
