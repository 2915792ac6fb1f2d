"""Fine-tuning any transformer through LoRA for a given number of steps: adapters on upper layers, and the head."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.progress import Progress
from mars_engine.core.records import IntArray, Pair, TrainingSet
from mars_engine.embeddings.devices import find_device, trains_in_bf16
from mars_engine.embeddings.pretrained import quiet_transformers
from mars_engine.reward_models.transformer.backbone import add_lora, load_backbone
from mars_engine.reward_models.transformer.collator import Padding
from mars_engine.reward_models.transformer.model import score_tokenized
from mars_engine.reward_models.transformer.stepwise.training import StepTraining, TunedMargins
from mars_engine.reward_models.transformer.tokenize import TokenizedPair


@dataclass(frozen=True, slots=True)
class AdapterTuning:
    """Fine-tunes a transformer with its default head through LoRA, its lower layers left as they are.

    Attributes:
        folder: the backbone.
        frozen_layers: layers from below that get no adapters; the embeddings get none anyway.
        config: how texts are read, the adapters, precision and device; what of it speaks of steps does not count.
        training: how it is trained.
    """

    folder: Path
    frozen_layers: int
    config: RewardModelConfig
    training: StepTraining

    def margins(
        self, training_set: TrainingSet, heldout: Sequence[Pair], *, steps: int, seed: int, progress: Progress
    ) -> TunedMargins:
        """Take so many optimizer steps, and return margins in fp32; nothing is kept of the model.

        On the same machine, the same training set and seed give the same margins.

        Raises:
            ModelError: the backbone or the device cannot be used.
            ConfigError: the length limit does not fit the backbone, or it has no layer above the frozen ones.
        """
        config = self.config.model_copy(update={"seed": seed})
        device = find_device(config.device, section="encoder")
        in_bf16 = trains_in_bf16(config.precision, device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            backbone = load_backbone(self.folder, config)
            if hasattr(backbone.model.config, "use_cache"):
                backbone.model.config.use_cache = False  # a whole text is read at once
            rows = backbone.pairs.tokenize([*training_set.pairs, *heldout], progress=progress)
            torch.manual_seed(seed)  # the adapters' first weights, and dropout
            model = add_lora(backbone, config, frozen_layers=self.frozen_layers).to(device)

            def margins(batch: IntArray) -> Tensor:
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=in_bf16):
                    return batch_margins(model, [rows[place] for place in batch], backbone.padding)

            self.training.train(model, margins, training_set, steps=steps, seed=seed, progress=progress)
            with quiet_transformers():
                merged = model.merge_and_unload()
            scored = score_tokenized(
                merged, rows, backbone.padding, batch_tokens=config.batch_tokens, progress=progress
            ).margins
        pairs = len(training_set.pairs)
        return TunedMargins(scored[:pairs], scored[pairs:])


def batch_margins(model: Any, rows: Sequence[TokenizedPair], padding: Padding) -> Tensor:
    """Return an experiment's batch margins under adapters in fp32, both sides in one forward pass, shape (n,)."""
    sides = [*[row.chosen for row in rows], *[row.rejected for row in rows]]
    device = next(model.parameters()).device
    inputs = {name: each.to(device) for name, each in padding.pad(sides).items()}
    chosen, rejected = model(**inputs).logits[:, 0].float().chunk(2)
    return chosen - rejected  # type: ignore[no-any-return]
