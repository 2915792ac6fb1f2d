"""Fine-tuning above frozen layers: it starts at the probe, learns, and leaves the frozen layers as they were."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from fakes import make_pairs

from mars_engine.core.config import EncoderConfig, ProbeConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import TrainingSet
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.transformer.backbone import load_probe_backbone
from mars_engine.reward_models.transformer.fine_tuning import find_backbone_folder
from mars_engine.reward_models.transformer.model import score_tokenized
from mars_engine.reward_models.transformer.probe_start import start_of
from mars_engine.reward_models.transformer.stepwise.frozen_layers import FrozenTuning, UpperLayers
from mars_engine.reward_models.transformer.stepwise.training import StepTraining

PROGRESS = SilentProgress()
pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    pairs = list(make_pairs(24))
    encoder = CachedEncoder(SentenceEncoder(EncoderConfig(device="cpu")), tmp_path_factory.mktemp("cache"))
    trainer = ProbeTrainer(ProbeConfig(layers="1,3"), encoder)
    return pairs, trainer.train(TrainingSet.plain(pairs[:16]), progress=PROGRESS)


def tuning(frozen: int) -> FrozenTuning:
    return FrozenTuning(find_backbone_folder("packaged"), frozen, StepTraining(4, 1e-3, 0.01))


@pytest.mark.parametrize("frozen", [0, 1, 2, 9])
def test_without_a_step_it_is_the_probe_whichever_layers_are_frozen(fitted, frozen):
    pairs, probe = fitted
    margins = tuning(frozen).margins(
        start_of(probe, 256), TrainingSet.plain(pairs[:16]), pairs[16:], steps=0, seed=0, progress=PROGRESS
    )
    whole = load_probe_backbone(find_backbone_folder("packaged"), start_of(probe, 256))
    rows = whole.pairs.tokenize(pairs, progress=PROGRESS)
    expected = score_tokenized(whole.model, rows, whole.padding, batch_tokens=0, progress=PROGRESS).margins
    np.testing.assert_allclose(np.concatenate([margins.train, margins.heldout]), expected, atol=1e-5)


def test_it_learns_by_the_labels_and_repeats_itself(fitted):
    pairs, probe = fitted
    tuned = partial(tuning(1).margins, start_of(probe, 256), heldout=pairs[16:], steps=12, seed=3, progress=PROGRESS)
    plain = TrainingSet.plain(pairs[:16])
    before = probe.score(pairs[:16], progress=PROGRESS).margins
    once = tuned(plain)
    assert once.train.mean() > before.mean()
    np.testing.assert_array_equal(once.heldout, tuned(plain).heldout)
    assert tuned(replace(plain, label_confidence=np.zeros(16))).train.mean() < before.mean()


def test_only_layers_above_the_frozen_ones_are_trained(fitted):
    _, probe = fitted
    upper = UpperLayers(load_probe_backbone(find_backbone_folder("packaged"), start_of(probe, 256)), 1)
    names = {name for name, each in upper.model.named_parameters() if each.requires_grad}
    assert any(".layer.1." in name for name in names)
    assert any(".layer.2." in name for name in names)
    assert "reward_head.weight" in names
    assert not any(".layer.0." in name or "embeddings" in name for name in names)
