"""Maps by UMAP, clusters by k-means on the map, and the words that tell a cluster from the others.

The clusters are regions of what one sees, so k-means on the two coordinates is enough: it always gives as many as asked
for, leaves no pair without a name, and tells the cluster of a later pair by the nearest centre.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mars_engine.core.config import MapConfig
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import Float32Array, FloatArray, IntArray
from mars_engine.embeddings.maps.protocols import MapReducer

if TYPE_CHECKING:
    from umap.umap_ import UMAP

FEWEST_PAIRS = 15
"""With fewer, neighbourhoods say nothing, and a list is read more quickly."""
PAIRS_A_CLUSTER = 20
WORDS_A_CLUSTER = 6
WORD = r"(?u)(?<!['’])\b[^\W\d_]{3,}\b(?!['’])"
"""A word of letters; parts of contractions, as of "don't", name nothing."""
MOST_WORDS = 50_000
CONVERSATION = (
    "actually ask asked asks bit day days did does doing feel gave gets getting given gives goes going good got great "
    "hard help helps instead just kind knew know known knows let lets like likely little look looks lot make makes "
    "making maybe mean means need needed needs new okay people perhaps person please probably quite really right said "
    "say saying says simply sort sure surely tell tells thank thanks thing things think thinks thought time times try "
    "trying use used uses using want wanted wants way ways went yes"
)
"""Words of any conversation, which name no subject; scikit-learn's stop words, made for articles, lack them."""
SAME_BUT_FOR = 2
"""Letters at the end in which forms of one word differ, as "litre" and "litres"; a name has one of them."""
STARTS = 4


@dataclass(frozen=True)
class UmapReducer:
    """A fitted UMAP."""

    umap: "UMAP"

    def place(self, vectors: Float32Array) -> Float32Array:
        with _as_it_was():
            return np.asarray(self.umap.transform(vectors), dtype=np.float32)


@dataclass(frozen=True)
class UmapMapper:
    """Maps by the angle between vectors. On one thread, so that the same seed gives the same map."""

    config: MapConfig

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.config.model_dump()

    def fit(self, vectors: Float32Array) -> tuple[MapReducer, Float32Array]:
        """Return a map of n vectors and their places.

        Raises:
            NotReadyError: there are fewer than `FEWEST_PAIRS`.
        """
        if len(vectors) < FEWEST_PAIRS:
            raise NotReadyError(
                f"there are {len(vectors)} pairs to map", expected=f"{FEWEST_PAIRS} or more", remedy="import more pairs"
            )
        with _as_it_was():
            from umap.umap_ import UMAP

            umap = UMAP(
                n_neighbors=min(self.config.neighbours, len(vectors) - 1),
                min_dist=self.config.min_dist,
                metric="cosine",
                random_state=self.config.seed,
                transform_seed=self.config.seed,
                n_jobs=1,
            )
            places = np.asarray(umap.fit_transform(vectors), dtype=np.float32)
        return UmapReducer(umap), places

    def centres(self, places: Float32Array) -> Float32Array:
        """Return the centres of up to `clusters` clusters, fewer where there are few pairs."""
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        count = max(1, min(self.config.clusters, len(places) // PAIRS_A_CLUSTER, len(np.unique(places, axis=0))))
        with threadpool_limits(1):  # threads add up in an order of their own, which would move a centre a little
            clusters = KMeans(count, n_init=STARTS, random_state=self.config.seed).fit(places.astype(np.float64))
        return np.asarray(clusters.cluster_centers_, dtype=np.float32)

    def distinctive_words(self, texts: Sequence[str], clusters: IntArray, count: int) -> list[tuple[str, ...]]:
        """Return the words that each cluster has more often than the others, the surest first, by Dunning's G².

        G² is the evidence against the word being as common in the cluster as elsewhere: it weighs both how much more
        common it is and in how many texts, so that neither a word of one text nor one that most clusters have comes
        first (T. Dunning, "Accurate methods for the statistics of surprise and coincidence", 1993). A word counts once
        a text, so that no single text names its cluster; what is equally common everywhere names none.
        """
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

        vectorizer = CountVectorizer(
            stop_words=sorted({*ENGLISH_STOP_WORDS, *CONVERSATION.split()}),
            token_pattern=WORD,
            max_features=MOST_WORDS,
            binary=True,
            dtype=np.float64,
        )
        try:
            counts = vectorizer.fit_transform(texts)
        except ValueError:  # scikit-learn says so where no text has a word
            return [()] * count
        members = csr_matrix((np.ones(len(texts)), (clusters, np.arange(len(texts)))), shape=(count, len(texts)))
        telling = _surprise(
            (members @ counts).toarray(), np.asarray(members.sum(axis=1)), np.asarray(counts.sum(axis=0)), len(texts)
        )
        words = vectorizer.get_feature_names_out()
        order = np.argsort(-telling, axis=1, kind="stable")[:, : 2 * WORDS_A_CLUSTER]
        return [
            _one_of_each_form([str(words[index]) for index in order[number] if telling[number, index] > 0])
            for number in range(count)
        ]


def _surprise(inside: FloatArray, sizes: FloatArray, overall: FloatArray, texts: int) -> FloatArray:
    """Return half of G² of each word in each cluster, and 0 where the cluster has it no more often than all texts do.

    Args:
        inside: texts of each cluster that have each word, shape (clusters, words).
        sizes: texts of each cluster, shape (clusters, 1).
        overall: texts that have each word, shape (1, words).
        texts: how many there are.
    """
    from scipy.special import rel_entr

    sizes, overall = sizes.reshape(-1, 1), overall.reshape(1, -1)
    outside = (texts - sizes) / texts
    evidence = (
        rel_entr(inside, sizes * overall / texts)
        + rel_entr(sizes - inside, sizes * (texts - overall) / texts)
        + rel_entr(overall - inside, outside * overall)
        + rel_entr(texts - sizes - overall + inside, outside * (texts - overall))
    )
    return np.asarray(np.where(inside * texts > sizes * overall, evidence, 0.0), dtype=np.float64)


def _one_of_each_form(words: Sequence[str]) -> tuple[str, ...]:
    """Return the first words, without those that an earlier one begins or that begin an earlier one."""
    kept: list[str] = []
    for word in words:
        shorter_and_longer = (sorted((word, other), key=len) for other in kept)
        if not any(
            longer.startswith(shorter) and len(longer) - len(shorter) <= SAME_BUT_FOR
            for shorter, longer in shorter_and_longer
        ):
            kept.append(word)
    return tuple(kept[:WORDS_A_CLUSTER])


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Ignore what UMAP warns of although nothing is amiss, and keep the number of OpenMP's threads.

    UMAP's numba sets that number to the processors that there are, and torch computes by the same OpenMP: whoever asked
    for fewer threads, or shares a machine, would have them all from the first map on.
    """
    from threadpoolctl import threadpool_limits

    with suppress(ImportError):  # numba has no OpenMP on every system
        import numba.np.ufunc.omppool  # noqa: F401 (loads OpenMP, so that its number is known before it is changed)
    with warnings.catch_warnings(), threadpool_limits():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        yield
