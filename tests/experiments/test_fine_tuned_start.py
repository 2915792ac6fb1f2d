"""Where the pairs of a draw choose the sentence embedding, an experiment fine-tunes from the best hidden layers."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.label_flips import load_pairs
from mars_engine.core.config import ProbeConfig
from mars_engine.core.errors import ConfigError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import TrainingSet
from mars_engine.core.shipped import shipped
from mars_engine.experiments.files import on_hidden_layers
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.transformer.probe_start import ProbeSource

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def examples() -> TrainingSet:
    return TrainingSet.plain(load_pairs(shipped("data") / "demo-train.jsonl")[:40])


def test_the_best_hidden_layers_stand_in_for_a_sentence_embedding_that_was_chosen(packaged_encoder, examples):
    trainer = ProbeTrainer(ProbeConfig(), packaged_encoder)
    trainer.prepare(examples, progress=SilentProgress())
    chosen = trainer.kept_choice()
    features = replace(chosen.features, text=replace(chosen.features.text, layers=()), scale=np.ones(384))
    trainer.keeper.save(replace(chosen, features=features))
    with pytest.raises(ConfigError, match="sentence embeddings"):
        ProbeSource(trainer, 64).start(examples, progress=SilentProgress())
    start = ProbeSource(on_hidden_layers(trainer), 64).start(examples, progress=SilentProgress())
    best = min((each for each in chosen.candidates if each.text.layers), key=lambda each: each.log_loss)
    assert start.reading.text == best.text


def test_hidden_layers_that_were_chosen_stay(packaged_encoder, examples):
    trainer = ProbeTrainer(ProbeConfig(layers="1,3"), packaged_encoder)
    trainer.prepare(examples, progress=SilentProgress())
    assert on_hidden_layers(trainer) is trainer


def test_a_sentence_embedding_that_is_asked_for_is_refused(packaged_encoder, examples):
    trainer = ProbeTrainer(ProbeConfig(layers="sentence"), packaged_encoder)
    trainer.prepare(examples, progress=SilentProgress())
    with pytest.raises(ConfigError, match="sentence embeddings"):
        ProbeSource(on_hidden_layers(trainer), 64).start(examples, progress=SilentProgress())
