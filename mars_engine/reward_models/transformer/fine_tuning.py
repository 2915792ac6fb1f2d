"""The trainer of transformers. Nothing heavy is loaded before one is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import TrainingSet, content_id
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder
from mars_engine.reward_models.protocols import TrainingNotes
from mars_engine.reward_models.transformer.checkpoints import last_whole_checkpoint
from mars_engine.reward_models.transformer.probe_start import ProbeSource
from mars_engine.reward_models.transformer.processes import broadcast

if TYPE_CHECKING:
    from mars_engine.reward_models.transformer.model import TransformerRewardModel

TRANSFORMER_KIND = "transformer"
WITHOUT_EFFECT = {"checkpoint_every", "report_to", "batch_tokens", "device"}
"""Settings that change how a model is trained or scored, but not what it becomes."""


def find_backbone_folder(name: str) -> Path:
    """Return the folder of a backbone's files; see `find_model_folder`."""
    return find_model_folder(
        name,
        purpose="backbone",
        expected="'probe', 'packaged', 'packaged-lm', a folder with a transformer, or a hub id such as owner/name",
        setting="'backbone' under [reward_model] in mars.toml",
    )


def share_training(**work: Any) -> None:
    """Do the share of any process but the first in fine-tuning a transformer."""
    from mars_engine.reward_models.transformer.fit import fine_tune

    fine_tune(**work, progress=SilentProgress())


@dataclass
class TransformerTrainer:
    """Fine-tunes transformers from one backbone.

    Args:
        config: settings; the backbone is not the probe.
        checkpoints: the folder under which each training keeps its checkpoints, by model id.
        probe: under the head 'probe', fits the probe that training starts from.
    """

    config: RewardModelConfig
    checkpoints: Path
    probe: ProbeSource | None = None
    _steps_done: int = field(default=0, init=False)
    """Optimizer steps of the models trained before, so that the curves of several rounds follow one another."""

    def __post_init__(self) -> None:
        self.config = self.config.with_rate()

    @property
    def kind(self) -> str:
        return TRANSFORMER_KIND

    @cached_property
    def folder(self) -> Path:
        """The folder of the backbone's files.

        Raises:
            ModelError: there is no such backbone.
        """
        return find_backbone_folder(self.config.backbone)

    @property
    def settings(self) -> Mapping[str, Any]:
        source = self._probe_source()
        return self._own_settings | ({"probe": dict(source.trainer.settings)} if source else {})

    @cached_property
    def _own_settings(self) -> dict[str, Any]:
        without = WITHOUT_EFFECT | ({"input_format", "max_tokens"} if self.config.head == "probe" else {"head"})
        return {
            "reward_model": self.config.model_dump(exclude=without),
            "backbone": fingerprint_folder(self.folder),
        }

    def _probe_source(self) -> ProbeSource | None:
        """Return what fits the probe that training starts from, None with another head.

        Raises:
            ConfigError: the backbone is not the probe's encoder.
        """
        if self.config.head != "probe":
            return None
        if self.probe is None:
            raise ValueError("head = 'probe' needs a probe to start from")
        self.probe.require_encoder(self.folder)
        return self.probe

    def model_id(self, training_set: TrainingSet) -> str:
        if source := self._probe_source():
            source.choose_features(training_set)
        lineage: list[Any] = list(training_set.source_of) if self.config.consistency_weight else []
        if lineage and not all(map(all, training_set.paraphrased)):
            lineage.append(training_set.paraphrased)
        return content_id(TRANSFORMER_KIND, dict(self.settings), training_set.fingerprint, lineage)

    def train(
        self, training_set: TrainingSet, *, progress: Progress, notes: TrainingNotes | None = None
    ) -> "TransformerRewardModel":
        """Fine-tune a transformer; on the same machine, the same training set gives the same weights.

        Interrupted, it leaves a checkpoint from which the next call goes on, exactly; killed, it goes on from the last
        checkpoint that is whole.

        Raises:
            NotReadyError: there are fewer than two pairs.
            ModelError: the backbone cannot be used, the loss is not finite, or a checkpoint cannot be written.
            ConfigError: a setting does not fit the backbone, or the tracker's package is not installed.
            KeyboardInterrupt: it was interrupted, after the checkpoint was written.
        """
        if len(training_set.pairs) < 2:
            raise NotReadyError(
                "there is only one pair to train on" if training_set.pairs else "there are no pairs to train on",
                expected="at least 2, and hundreds for a transformer to learn anything",
                remedy="run 'mars import FILE'",
            )
        from mars_engine.reward_models.transformer.fit import fine_tune
        from mars_engine.reward_models.transformer.tracking import require_tracker

        require_tracker(self.config.report_to)
        model_id = self.model_id(training_set)
        checkpoints = self.checkpoints / model_id
        work: dict[str, Any] = {
            "config": self.config,
            "folder": self.folder,
            "training_set": training_set,
            "model_id": model_id,
            "checkpoints": checkpoints,
            "resumed": last_whole_checkpoint(checkpoints),
        }
        if source := self._probe_source():
            work["start"] = source.start(self._trained_on(training_set), progress=progress)
        broadcast(share_training, **work)
        tuned = fine_tune(**work, progress=progress, notes=notes, steps_before=self._steps_done)
        self._steps_done += tuned.steps
        return tuned.model

    def _trained_on(self, training_set: TrainingSet) -> TrainingSet:
        """Return the pairs that no early stopping sets aside: the probe must not have seen the others either."""
        if not self.config.early_stopping_patience:
            return training_set
        from mars_engine.reward_models.transformer.examples import without_aside

        return without_aside(training_set, self.config.validation_percent, self.config.seed)
