"""The folder of trained reward models, written whole or not at all: probes as weights and settings, transformers as
plain checkpoints.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from mars_engine.core.errors import ModelError
from mars_engine.core.records import FloatArray, ModelEvidence, ModelRecord
from mars_engine.core.whole_folder import replace_text, write_whole_folder
from mars_engine.reward_models.kept_choice import choice_as_json
from mars_engine.reward_models.probe import PROBE_KIND, Probe, ProbeTrainer
from mars_engine.reward_models.probe_card import render_probe_card
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.reward_models.transformer.shelf import CARD_FILE, TransformerShelf

WEIGHTS_FILE = "probe.safetensors"
SETTINGS_FILE = "probe.json"


@dataclass(frozen=True)
class ProbeShelf:
    """Saves and loads probes under `folder`, a place inside the workspace `root`."""

    root: Path
    folder: Path
    trainer: ProbeTrainer

    def save(self, model: RewardModel) -> str:
        """Write a probe's files; whole ones that are there already are left as they are, damaged ones replaced."""
        if not isinstance(model, Probe):
            raise TypeError(f"the probe shelf keeps probes, not {type(model).__name__}")
        target = self.folder / model.id

        def write(folder: Path) -> None:
            save_file({"weights": model.weights, "scale": model.features.scale}, folder / WEIGHTS_FILE)
            settings = {
                "id": model.id,
                "ridge": model.ridge,
                "choice": choice_as_json(model.choice),
                "encoder": model.encoder.fingerprint,
                "weights_sha256": hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest(),
            }
            (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=2), encoding="utf-8")

        write_whole_folder(target, write, is_whole=is_whole_probe)
        return str(target.relative_to(self.root))

    def holds(self, record: ModelRecord) -> bool:
        return is_whole_probe(self.root / record.artifact)

    def load(self, record: ModelRecord) -> Probe:
        """Load a probe that scores exactly as when it was saved.

        Raises:
            ModelError: its files are missing or damaged, or it belongs to another encoder.
        """
        return self.read(record.id, self.root / record.artifact)

    def read(self, model_id: str, folder: Path) -> Probe:
        """Load the probe of this id from its folder; see `load`."""
        try:
            settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            weights = _read_weights(folder / WEIGHTS_FILE, settings["weights_sha256"])
            return self.trainer.restore(model_id, weights, settings)
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise ModelError(
                f"the files of model {model_id} in {folder} are missing or damaged: {error!r}",
                remedy="run 'mars train' to train it again",
            ) from error

    def describe(self, record: ModelRecord, evidence: ModelEvidence) -> None:
        """Write the probe's model card: what it learned from and reads, and what it is worth on pairs held out.

        Raises:
            ModelError: the card cannot be written, for example because the disk is full; an earlier one stays.
        """
        replace_text(self.root / record.artifact / CARD_FILE, render_probe_card(record, evidence))


def is_whole_probe(folder: Path) -> bool:
    """Return whether a folder has all of a probe's files, undamaged."""
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        _read_weights(folder / WEIGHTS_FILE, settings["weights_sha256"])
    except (OSError, ValueError, TypeError, KeyError, SafetensorError):
        return False
    return True


def _read_weights(path: Path, expected_sha256: str) -> dict[str, FloatArray]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected_sha256:
        raise ValueError(f"{path.name} was altered")
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in load(content).items()}
    return {"weights": arrays["weights"], "scale": arrays.get("scale", np.zeros(0))}


@dataclass(frozen=True)
class RewardModelShelf:
    """Keeps reward models of both kinds."""

    probes: ProbeShelf
    transformers: TransformerShelf

    def save(self, model: RewardModel) -> str:
        """Write a reward model's files whole or not at all; return their place, relative to the workspace."""
        return self.probes.save(model) if isinstance(model, Probe) else self.transformers.save(model)

    def holds(self, record: ModelRecord) -> bool:
        return self._shelf(record).holds(record)

    def load(self, record: ModelRecord) -> RewardModel:
        """Load a model that scores exactly as when it was saved.

        Raises:
            ModelError: its files are missing or damaged, or it belongs to another encoder.
        """
        return self._shelf(record).load(record)

    def describe(self, record: ModelRecord, evidence: ModelEvidence) -> None:
        """Add what was found out about a saved model to its own description, where its kind has one."""
        self._shelf(record).describe(record, evidence)

    def _shelf(self, record: ModelRecord) -> ProbeShelf | TransformerShelf:
        return self.probes if record.kind == PROBE_KIND else self.transformers
