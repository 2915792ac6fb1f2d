"""Views under dropout: as random as they should be, the same for the same passage, and paired up evenly."""

import numpy as np
import pytest
from fakes import make_pairs

from mars_engine.words.config import EncoderConfig, ProbeConfig
from mars_engine.words.errors import ModelError
from mars_engine.words.records import Embeddings, Passage
from mars_engine.world.encoders.dropout_views import DropoutViewEncoder
from mars_engine.world.encoders.embedding_cache import CachedEncoder
from mars_engine.world.encoders.sentence_encoder import SentenceEncoder
from mars_engine.world.progress import SilentProgress
from mars_engine.world.reward_models.view_features import DropoutViewFeatures

SILENT = SilentProgress()
PASSAGES = [Passage("The sky is blue because short waves scatter most."), Passage("Nobody knows."), Passage("x " * 40)]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(EncoderConfig())


def views_of(encoder: SentenceEncoder, passages: list[Passage], **settings) -> np.ndarray:
    views = DropoutViewEncoder(encoder, **({"views": 3, "dropout_rate": 0.1} | settings))
    return views.encode_batch(views.tokenize(passages)).vectors.reshape(len(passages), -1, 384)


@pytest.mark.model
def test_views_differ_and_stay_near_to_the_embedding_which_does_not_change(encoder):
    rows = encoder.tokenize(PASSAGES)
    before = encoder.encode_batch(rows).vectors
    views = views_of(encoder, PASSAGES)
    np.testing.assert_allclose(np.linalg.norm(views, axis=2), 1, atol=1e-5)
    nearness = np.einsum("nvd,nd->nv", views, before)
    assert (nearness > 0.6).all()
    assert (nearness < 0.9999).all()
    between = np.einsum("nvd,nwd->nvw", views, views)
    assert (between[:, ~np.eye(3, dtype=bool)] < 0.9999).all()
    np.testing.assert_array_equal(encoder.encode_batch(rows).vectors, before)


@pytest.mark.model
def test_views_depend_on_the_passage_and_the_rate_alone(encoder):
    together = views_of(encoder, PASSAGES)
    np.testing.assert_array_equal(views_of(encoder, PASSAGES[::-1])[::-1], together)
    np.testing.assert_array_equal(views_of(SentenceEncoder(EncoderConfig()), PASSAGES[1:2])[0], together[1])
    own = encoder.encode_batch(encoder.tokenize(PASSAGES)).vectors
    little = np.einsum("nvd,nd->nv", views_of(encoder, PASSAGES, dropout_rate=0.01), own)
    assert (little.mean(axis=1) > np.einsum("nvd,nd->nv", together, own).mean(axis=1)).all()


@pytest.mark.model
def test_an_encoder_whose_dropout_changes_nothing_is_refused(encoder):
    (row,) = encoder.tokenize(PASSAGES[:1])
    with pytest.raises(ModelError, match="has no dropout"):
        encoder.encode_views(row, views=2, dropout_rate=0.0, seed=0)


@pytest.mark.model
def test_the_cache_keeps_views_apart_from_embeddings(encoder, tmp_path):
    cached = CachedEncoder(DropoutViewEncoder(encoder, 2, 0.1), tmp_path)
    first = cached.encode(PASSAGES, progress=SILENT).vectors
    assert first.shape == (3, 2 * 384)
    np.testing.assert_array_equal(cached.encode(PASSAGES, progress=SILENT).vectors, first)
    assert CachedEncoder(encoder, tmp_path).encode(PASSAGES, progress=SILENT).vectors.shape == (3, 384)


class NumberedViews:
    """An encoder whose every passage has the views (0, 0), (1, 1), (2, 2), plus 10 with a context."""

    fingerprint = "numbered"

    def encode(self, passages, *, progress) -> Embeddings:  # noqa: ARG002
        rows = [np.repeat(np.arange(3.0), 2) + 10 * bool(each.context) for each in passages]
        nothing = np.zeros(len(rows), dtype=np.int64)
        return Embeddings(np.array(rows, dtype=np.float32), nothing, nothing)


@pytest.mark.parametrize(("features", "width"), [("response", 2), ("context", 2), ("both", 4)])
def test_views_of_the_two_sides_are_paired_up_evenly(features, width):
    views = DropoutViewFeatures(ProbeConfig(features=features), NumberedViews(), 3)
    assert views.most == 9
    differences = views.feature_differences(make_pairs(2), 9, progress=SILENT)
    assert differences.shape == (2, 9, width)
    assert (differences == differences[:, :, :1]).all(), "each kind of feature pairs the same views"
    assert sorted(differences[0, :, 0]) == [-2, -1, -1, 0, 0, 0, 1, 1, 2]
    few = views.feature_differences(make_pairs(2), 5, progress=SILENT)
    np.testing.assert_array_equal(few, differences[:, :5])
