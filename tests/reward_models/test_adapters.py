"""LoRA for a given number of steps: fixed by the seed, by weights and labels, on the layers above the frozen ones."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from fakes import make_pairs
from tiny_transformers import save_tiny_backbone

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import TrainingSet
from mars_engine.reward_models.transformer.backbone import add_lora, load_backbone
from mars_engine.reward_models.transformer.stepwise.adapters import AdapterTuning, batch_margins
from mars_engine.reward_models.transformer.stepwise.training import StepTraining

PROGRESS = SilentProgress()
PAIRS = list(make_pairs(16))
TRAINED, HELDOUT = PAIRS[:12], PAIRS[12:]
PLAIN = TrainingSet.plain(TRAINED)
CONFIG = RewardModelConfig(lora=True, max_tokens=64, device="cpu", precision="fp32")
pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    texts = [text for pair in PAIRS for text in (pair.chosen, pair.rejected)]
    return {name: save_tiny_backbone(root / name, name, texts) for name in ("llama", "deberta-v2", "gpt2")}


def tuning(folder, *, frozen=0, config=CONFIG, rate=1e-2) -> AdapterTuning:
    return AdapterTuning(folder, frozen, config, StepTraining(4, rate, 0.01))


def margins_of(folder, training_set=PLAIN, *, steps=8, seed=0, **changes):
    return tuning(folder, **changes).margins(training_set, HELDOUT, steps=steps, seed=seed, progress=PROGRESS)


@pytest.mark.parametrize("architecture", ["llama", "deberta-v2"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_seed_fixes_everything(backbones, architecture, precision):
    tuned = partial(margins_of, backbones[architecture], config=CONFIG.model_copy(update={"precision": precision}))
    once, again, other = tuned(seed=3), tuned(seed=3), tuned(seed=4)
    np.testing.assert_array_equal(once.train, again.train)
    np.testing.assert_array_equal(once.heldout, again.heldout)
    assert not np.array_equal(once.heldout, other.heldout)
    assert (once.train.shape, once.heldout.shape) == ((12,), (4,))
    assert np.isfinite([*once.train, *once.heldout]).all()


def test_without_a_step_it_is_the_backbone_with_a_new_head(backbones):
    import torch

    backbone = load_backbone(backbones["llama"], CONFIG)
    rows = backbone.pairs.tokenize(PAIRS, progress=PROGRESS)
    with torch.no_grad():
        expected = batch_margins(backbone.model.eval(), rows, backbone.padding).numpy()
    found = margins_of(backbones["llama"], steps=0)
    np.testing.assert_allclose([*found.train, *found.heldout], expected, atol=1e-5)


def test_it_learns_by_the_labels(backbones):
    tuned = partial(margins_of, backbones["llama"], steps=40)
    assert tuned(PLAIN).train.mean() > 1
    assert tuned(replace(PLAIN, label_confidence=np.zeros(12))).train.mean() < -1
    unsure = tuned(replace(PLAIN, label_confidence=np.full(12, 0.5))).train
    assert np.abs(unsure).mean() < np.abs(tuned(PLAIN).train).mean()


def test_weights_count_by_their_proportions(backbones):
    labels = np.array([1.0, 0.0] * 6)
    even = replace(PLAIN, label_confidence=labels)
    first = replace(even, weights=np.where(labels == 1, 1.0, 0.0))
    tuned = partial(margins_of, backbones["llama"], steps=40)
    assert tuned(first).train.mean() > tuned(even).train.mean()
    twice = replace(even, weights=np.full(12, 2.0))
    np.testing.assert_allclose(tuned(twice).train, tuned(even).train, atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "lower"), [("llama", ".layers.0."), ("deberta-v2", ".layer.0."), ("gpt2", ".h.0.")]
)
def test_frozen_layers_get_no_adapters(backbones, architecture, lower):
    def adapted(frozen):
        backbone = load_backbone(backbones[architecture], CONFIG)
        model = add_lora(backbone, CONFIG, frozen_layers=frozen)
        return {name for name, each in model.named_parameters() if each.requires_grad}

    everywhere, above = adapted(0), adapted(1)
    assert above == {name for name in everywhere if lower not in name} < everywhere
    assert any("lora_" in name and lower.replace("0", "1") in name for name in above)
    assert not any("embed" in name or "wte" in name for name in everywhere)
    heads = {name for name in everywhere if "lora_" not in name}
    assert heads
    assert heads == {name for name in above if "lora_" not in name}


def test_no_gradient_flows_below_the_frozen_layers(backbones):
    backbone = load_backbone(backbones["llama"], CONFIG)
    model = add_lora(backbone, CONFIG, frozen_layers=1).train()
    inputs = backbone.padding.pad([backbone.pairs.tokenize(PAIRS[:1], progress=PROGRESS)[0].chosen])
    states = model(**inputs, output_hidden_states=True).hidden_states
    assert [each.requires_grad for each in states] == [False, False, True]


def test_frozen_layers_change_what_is_learned(backbones):
    all_layers, upper = margins_of(backbones["llama"]), margins_of(backbones["llama"], frozen=1)
    assert not np.allclose(all_layers.train, upper.train, atol=1e-3)


def test_more_frozen_layers_than_there_are_is_refused(backbones):
    with pytest.raises(ConfigError, match=r"frozen_layers = 2, but the backbone has 2 layers.*from 0 to 1"):
        margins_of(backbones["llama"], frozen=2)


def test_a_length_beyond_the_backbones_and_an_empty_folder_are_said(backbones, tmp_path):
    with pytest.raises(ConfigError, match=r"max_tokens = 500, but .* takes 128 tokens at most"):
        margins_of(backbones["llama"], config=CONFIG.model_copy(update={"max_tokens": 500}))
    with pytest.raises(ModelError, match=r"has no config\.json"):
        margins_of(tmp_path)


def test_every_step_takes_a_full_batch_and_passes_follow_each_other():
    """Ten steps of five pairs are fifty places: each of twelve pairs four or five times."""
    import torch

    asked = []
    weight = torch.nn.Linear(1, 1)

    def margins(batch):
        asked.append(batch.tolist())
        return weight(torch.ones(len(batch), 1))[:, 0]

    StepTraining(5, 1e-3, 0.0).train(weight, margins, PLAIN, steps=10, seed=1, progress=PROGRESS)
    assert [len(batch) for batch in asked] == [5] * 10
    stream = [place for batch in asked for place in batch]
    for first in range(0, 48, 12):
        assert sorted(stream[first : first + 12]) == list(range(12))
