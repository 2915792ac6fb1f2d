"""The trainer of transformers. Nothing heavy is loaded before one is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.model_folder import find_model_folder, fingerprint_folder
from mars_engine.core.progress import SilentProgress
from mars_engine.core.protocols import Progress, TrainingNotes
from mars_engine.core.records import TrainingSet, content_id
from mars_engine.reward_models.transformer.checkpoints import last_whole_checkpoint
from mars_engine.reward_models.transformer.processes import broadcast

if TYPE_CHECKING:
    from mars_engine.reward_models.transformer.model import TransformerRewardModel

TRANSFORMER_KIND = "transformer"
WITHOUT_EFFECT = {"checkpoint_every", "batch_tokens", "device"}
"""Settings that change how a model is trained or scored, but not what it becomes."""


def find_backbone_folder(name: str) -> Path:
    """Return the folder of a backbone's files; see `find_model_folder`."""
    return find_model_folder(
        name,
        purpose="backbone",
        expected="'probe', 'packaged', a folder with a transformer, or a hub id such as owner/name",
        setting="'backbone' under [reward_model] in mars.toml",
    )


def share_training(**work: Any) -> None:
    """Do another process's share of a training."""
    from mars_engine.reward_models.transformer.fit import fine_tune

    fine_tune(**work, progress=SilentProgress())


@dataclass
class TransformerTrainer:
    """Fine-tunes transformers from one backbone.

    Args:
        config: settings; the backbone is not the probe.
        checkpoints: the folder under which each training keeps its checkpoints, by model id.
    """

    config: RewardModelConfig
    checkpoints: Path
    _steps_done: int = field(default=0, init=False)
    """Optimizer steps of the models trained before, so that the curves of several rounds follow one another."""

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

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "reward_model": self.config.model_dump(exclude=WITHOUT_EFFECT),
            "backbone": fingerprint_folder(self.folder),
        }

    def model_id(self, training_set: TrainingSet) -> str:
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
            ConfigError: a setting does not fit the backbone.
            KeyboardInterrupt: it was interrupted, after the checkpoint was written.
        """
        if len(training_set.pairs) < 2:
            raise NotReadyError(
                "there is only one pair to train on" if training_set.pairs else "there are no pairs to train on",
                expected="at least 2, and hundreds for a transformer to learn anything",
                remedy="run 'mars import FILE'",
            )
        from mars_engine.reward_models.transformer.fit import fine_tune

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
        broadcast(share_training, **work)
        tuned = fine_tune(**work, progress=progress, notes=notes, steps_before=self._steps_done)
        self._steps_done += tuned.steps
        return tuned.model
