"""Consistency from proposals in the store to a batch's loss: paraphrased sides are pulled, refined ones are not."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fakes import ListSource, ReplacingRefiner, make_bench, make_pairs
from tiny_transformers import save_tiny_backbone

from mars_engine.augment.generators.protocols import Generation, RefineRequest
from mars_engine.core.config import MarsConfig, RewardModelConfig
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import TrainingSet
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.protocols import RewardModel, TrainingNotes
from mars_engine.workspace.rounds import run_rounds

pytestmark = pytest.mark.model

PAIRS = make_pairs(12)
REFINED = "entirely different matter"
CONFIG = MarsConfig.model_validate(
    {
        "triage": {"policy": "keep", "seeds": 1},
        "gate": {"rule": "fixed", "threshold": 2.0},
        "allocation": {"budget_per_pair": 1.0},
        "propose": {"variants": 2},
    }
)


class RefinerOfSome(ReplacingRefiner):
    """Sharpens every other pair, and offers nothing for the others, which are only paraphrased."""

    def refine(self, requests: Sequence[RefineRequest]) -> list[Generation]:
        sharpened = {pair.id for pair in PAIRS[::2]}
        offered = super().refine(requests)
        return [each if each.key in sharpened else Generation(each.key, (), failure="left alone") for each in offered]


@dataclass(frozen=True)
class RememberingTrainer(ProbeTrainer):
    """Remembers what it was to train on."""

    seen: list[TrainingSet] = field(default_factory=list)

    def train(
        self, training_set: TrainingSet, *, progress: Progress, notes: TrainingNotes | None = None
    ) -> RewardModel:
        self.seen.append(training_set)
        return super().train(training_set, progress=progress, notes=notes)


@pytest.fixture(scope="module")
def examples() -> TrainingSet:
    """What a round trains on: pairs of sources that were refined and paraphrased, and of some only paraphrased."""
    bench = make_bench(CONFIG)
    trainer = RememberingTrainer(bench.trainer.config, bench.encoder)
    bench = replace(bench, refiner=RefinerOfSome(), trainer=trainer)
    import_pairs(ListSource(PAIRS), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    run_rounds(bench, 1, policy="accept-all")
    return trainer.seen[-1]


def sides_written(examples: TrainingSet) -> dict[str, int]:
    """How many sides of composed pairs stem from a refined text, paraphrase their source's, or are it."""
    counts = {"refined": 0, "paraphrased": 0, "unchanged": 0}
    for place, source in enumerate(examples.source_of):
        if source >= 0:
            pair, origin = examples.pairs[place], examples.pairs[source]
            for text, before in ((pair.chosen, origin.chosen), (pair.rejected, origin.rejected)):
                counts["refined" if REFINED in text else "unchanged" if text == before else "paraphrased"] += 1
    return counts


def test_the_loss_of_a_batch_pulls_paraphrased_sides_and_leaves_refined_ones(examples, tmp_path):
    from mars_engine.reward_models.transformer.backbone import load_backbone
    from mars_engine.reward_models.transformer.collator import PairCollator
    from mars_engine.reward_models.transformer.examples import make_examples
    from mars_engine.reward_models.transformer.model import score_tokenized
    from mars_engine.reward_models.transformer.trainer import PairTrainer, training_arguments

    written = sides_written(examples)
    assert min(written["refined"], written["paraphrased"]) >= 3

    silent, weight = SilentProgress(), 5.0
    folder = save_tiny_backbone(tmp_path / "backbone", "roberta", [pair.chosen for pair in PAIRS])
    losses = {}
    for consistency in (0.0, weight):
        config = RewardModelConfig(
            backbone=str(folder), max_tokens=96, device="cpu", precision="fp32", consistency_weight=consistency
        )
        loaded = load_backbone(folder, config)
        rows = loaded.pairs.tokenize(examples.pairs, progress=silent)
        batch = make_examples(examples, rows, validation_percent=0, seed=0).train
        args = training_arguments(config, tmp_path / "training", bf16=False, use_cpu=True)
        collator = PairCollator(loaded.padding, with_sources=consistency > 0)
        made = PairTrainer(loaded.model, config=config, args=args, collator=collator, train=batch)
        loaded.model.eval()  # dropout would differ
        losses[consistency] = made.compute_loss(loaded.model, collator(batch)).item()
    rewards = score_tokenized(loaded.model, rows, loaded.padding, batch_tokens=8192, progress=silent)

    pull = 0.0
    for place, source in enumerate(examples.source_of):
        if source >= 0:
            for text, of_side in (
                (examples.pairs[place].chosen, rewards.chosen),
                (examples.pairs[place].rejected, rewards.rejected),
            ):
                pull += 0.0 if REFINED in text else (of_side[place] - of_side[source]) ** 2 / 2
    expected = weight * pull / len(examples.pairs)
    assert expected > 1e-6
    assert losses[weight] - losses[0.0] == pytest.approx(expected, rel=1e-3)
    assert np.isfinite(losses[weight])
