"""Advice in a workspace, and the trainer that fine-tuning is tried out with."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mars_engine.advise.advice import Advice
from mars_engine.advise.advisor import advise
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import PROBE_BACKBONE
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.protocols import RewardModelTrainer
from mars_engine.reward_models.transformer.fine_tuning import TransformerTrainer
from mars_engine.reward_models.transformer.probe_start import ProbeSource

PACKAGED = "packaged"


def advise_on(bench: Workbench, *, fine_tuning: bool = False) -> Advice:
    """Advise on a workspace's next step; with fine-tuning measured too where that is asked for.

    Raises:
        NotReadyError: there are too few training pairs or prompts.
        ModelError: the backbone to fine-tune cannot be used.
    """
    if not fine_tuning:
        return advise(bench)
    with _fine_tuner(bench) as trainer:
        return advise(bench, fine_tuner=trainer)


@contextmanager
def _fine_tuner(bench: Workbench) -> Iterator[RewardModelTrainer]:
    """Yield a trainer of the configured backbone, of the packaged one where a probe is configured; its checkpoints go
    when it has been tried."""
    config = bench.config.reward_model
    if config.backbone == PROBE_BACKBONE:
        config = config.model_copy(update={"backbone": PACKAGED})
    probe = bench.probe_trainer
    source = ProbeSource(probe, bench.config.encoder.max_tokens) if isinstance(probe, ProbeTrainer) else None
    with tempfile.TemporaryDirectory() as folder:
        yield TransformerTrainer(config, Path(folder), source)
