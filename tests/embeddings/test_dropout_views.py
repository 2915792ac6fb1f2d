"""Views under dropout: as random as they should be, the same for the same passage, and paired up evenly."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import make_pairs

from mars_engine.core.config import EncoderConfig, ProbeConfig
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Embeddings, HiddenState, Passage, Prompt
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.context import render_context
from mars_engine.embeddings.dropout_views import DropoutViewEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.experiments.view_features import DropoutViewFeatures
from mars_engine.reward_models.feature_choice import FeatureChoice, choice_key
from mars_engine.reward_models.features import ProbeFeatures, TextStates
from mars_engine.reward_models.kept_choice import MemoryKeeper
from mars_engine.reward_models.probe import ProbeTrainer

SILENT = SilentProgress()
PASSAGES = [Passage("The sky is blue because short waves scatter most."), Passage("Nobody knows."), Passage("x " * 40)]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(EncoderConfig())


def views_of(encoder: SentenceEncoder, passages: list[Passage], **settings) -> np.ndarray:
    views = DropoutViewEncoder(encoder, **({"views": 3, "dropout_rate": 0.1} | settings))
    found = views.read_batch(views.tokenize(passages), sentence=True).sentence
    return found.reshape(len(passages), -1, 384)


def embedded(encoder: SentenceEncoder, passages: list[Passage]) -> np.ndarray:
    return encoder.read_batch(encoder.tokenize(passages), sentence=True).sentence


@pytest.mark.model
def test_views_differ_and_stay_near_to_the_embedding_which_does_not_change(encoder):
    before = embedded(encoder, PASSAGES)
    views = views_of(encoder, PASSAGES)
    np.testing.assert_allclose(np.linalg.norm(views, axis=2), 1, atol=1e-5)
    nearness = np.einsum("nvd,nd->nv", views, before)
    assert (nearness > 0.6).all()
    assert (nearness < 0.9999).all()
    between = np.einsum("nvd,nwd->nvw", views, views)
    assert (between[:, ~np.eye(3, dtype=bool)] < 0.9999).all()
    np.testing.assert_array_equal(embedded(encoder, PASSAGES), before)


@pytest.mark.model
def test_views_depend_on_the_passage_and_the_rate_alone(encoder):
    together = views_of(encoder, PASSAGES)
    np.testing.assert_array_equal(views_of(encoder, PASSAGES[::-1])[::-1], together)
    np.testing.assert_array_equal(views_of(SentenceEncoder(EncoderConfig()), PASSAGES[1:2])[0], together[1])
    own = embedded(encoder, PASSAGES)
    little = np.einsum("nvd,nd->nv", views_of(encoder, PASSAGES, dropout_rate=0.01), own)
    assert (little.mean(axis=1) > np.einsum("nvd,nd->nv", together, own).mean(axis=1)).all()


@pytest.mark.model
def test_an_encoder_whose_dropout_changes_nothing_is_refused(encoder):
    (row,) = encoder.tokenize(PASSAGES[:1])
    with pytest.raises(ModelError, match="has no dropout"):
        encoder.read_views(row, sentence=False, states=[HiddenState(2)], views=2, dropout_rate=0.0, seed=0)


@pytest.mark.model
def test_the_cache_keeps_views_apart_from_embeddings(encoder, tmp_path):
    cached = CachedEncoder(DropoutViewEncoder(encoder, 2, 0.1), tmp_path)
    first = cached.encode(PASSAGES, progress=SILENT).vectors
    assert first.shape == (3, 2 * 384)
    np.testing.assert_array_equal(cached.encode(PASSAGES, progress=SILENT).vectors, first)
    assert CachedEncoder(encoder, tmp_path).encode(PASSAGES, progress=SILENT).vectors.shape == (3, 384)


class NumberedViews:
    """An encoder whose every passage has the views (0, 0), (1, 1), (2, 2), plus 10 a layer and 100 with a context."""

    fingerprint = "numbered"
    depth = 3

    def encode(self, passages, *, progress) -> Embeddings:
        return self.hidden_states(passages, [HiddenState(0)], progress=progress)

    def hidden_states(self, passages, states, *, progress) -> Embeddings:  # noqa: ARG002
        views = np.repeat(np.arange(3.0), 2)
        rows = [
            np.concatenate([views + 10 * state.layer + 100 * bool(each.context) for state in states])
            for each in passages
        ]
        nothing = np.zeros(len(rows), dtype=np.int64)
        return Embeddings(np.array(rows, dtype=np.float32), nothing, nothing)

    def context_of(self, prompt: Prompt) -> str:
        return render_context(prompt)


@pytest.mark.parametrize(
    ("layers", "reading", "width"), [((), "response", 2), ((1,), "context", 2), ((1, 3), "response", 4)]
)
def test_views_of_the_two_sides_are_paired_up_evenly(layers, reading, width):
    scale = np.full(width, 0.5)
    choice = FeatureChoice(ProbeFeatures(TextStates(reading, "mean", layers), scale), 0.1, "", "", "by hand")
    encoder = NumberedViews()
    config = ProbeConfig()
    trainer = ProbeTrainer(config, encoder, MemoryKeeper(replace(choice, made_for=choice_key(config, encoder))))
    views = DropoutViewFeatures(encoder, 3)
    assert views.most == 9
    differences = views.feature_differences(make_pairs(2), 9, like=trainer, progress=SILENT)
    assert differences.shape == (2, 9, width)
    assert (differences == differences[:, :, :1]).all(), "each layer pairs the same views"
    unscaled = differences[0, :, 0] * 0.5 * np.sqrt(width)
    np.testing.assert_allclose(sorted(unscaled), [-2, -1, -1, 0, 0, 0, 1, 1, 2], atol=1e-12)
    few = views.feature_differences(make_pairs(2), 5, like=trainer, progress=SILENT)
    np.testing.assert_array_equal(few, differences[:, :5])
