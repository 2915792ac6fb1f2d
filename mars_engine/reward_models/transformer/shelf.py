"""The folder of trained transformers: plain checkpoints with their tokenizer and model card."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mars_engine.core.errors import ModelError
from mars_engine.core.records import ModelEvidence, ModelRecord
from mars_engine.core.whole_folder import cannot_write, replace_text, write_whole_folder
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.reward_models.transformer.card import with_evidence

if TYPE_CHECKING:
    from mars_engine.reward_models.transformer.model import TransformerRewardModel

CARD_FILE = "README.md"
SIZES_FILE = "mars-files.json"
"""The size of each file of a saved model, by name: an incomplete copy is noticed without reading gigabytes."""


@dataclass(frozen=True)
class TransformerShelf:
    """Saves and loads transformers under `folder`, a place inside the workspace `root`.

    Args:
        root: the workspace.
        folder: where models are kept, each in a folder named by its id.
        checkpoints: where trainings keep their checkpoints; those of a model that is saved are of no more use and go.
        device: where loaded models score.
        batch_tokens: token budget of a scoring batch.
    """

    root: Path
    folder: Path
    checkpoints: Path
    device: str
    batch_tokens: int

    def save(self, model: RewardModel) -> str:
        """Write a transformer's files; whole ones that are there already are left as they are, damaged ones replaced.

        Raises:
            ModelError: they cannot be written, for example because the disk is full.
        """
        from mars_engine.reward_models.transformer.model import TransformerRewardModel

        if not isinstance(model, TransformerRewardModel):
            raise TypeError(f"the shelf of transformers does not keep a {type(model).__name__}")
        target = self.folder / model.id
        write_whole_folder(target, lambda folder: _write(model, folder), is_whole=_is_whole)
        shutil.rmtree(self.checkpoints / model.id, ignore_errors=True)
        return str(target.relative_to(self.root))

    def holds(self, record: ModelRecord) -> bool:
        return _is_whole(self.root / record.artifact)

    def describe(self, record: ModelRecord, evidence: ModelEvidence) -> None:
        """Add to a transformer's model card which pairs it learned from, and what it is worth on those held out.

        Raises:
            ModelError: the card cannot be written, for example because the disk is full; it stays as it was.
        """
        path = self.root / record.artifact / CARD_FILE
        try:
            card = path.read_text(encoding="utf-8")
        except OSError as error:
            raise cannot_write(path, error) from error
        replace_text(path, with_evidence(card, evidence))

    def load(self, record: ModelRecord) -> "TransformerRewardModel":
        """Load a transformer that scores exactly as when it was saved.

        Raises:
            ModelError: its files are missing or damaged, or the device cannot be used.
        """
        folder = self.root / record.artifact
        if not _is_whole(folder):
            raise ModelError(
                f"the files of model {record.id} in {folder} are missing or damaged",
                remedy="run 'mars train' to train it again",
            )
        from mars_engine.reward_models.transformer.model import load_reward_model

        return load_reward_model(record.id, folder, device=self.device, batch_tokens=self.batch_tokens)


def _write(model: "TransformerRewardModel", folder: Path) -> None:
    from mars_engine.embeddings.pretrained import quiet_transformers

    with quiet_transformers():
        model.backbone.model.save_pretrained(folder)
        model.backbone.tokenizer.save_pretrained(folder)
    (folder / CARD_FILE).write_text(model.card, encoding="utf-8")
    # The card is read by people alone, and is added to later.
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != CARD_FILE}
    (folder / SIZES_FILE).write_text(json.dumps(sizes, indent=2), encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / SIZES_FILE).read_text(encoding="utf-8"))
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False
