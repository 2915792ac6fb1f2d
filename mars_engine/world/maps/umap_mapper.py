"""Maps by UMAP, clusters by k-means on the map, and the words that tell a cluster from the others.

The clusters are regions of what one sees, so k-means on the two coordinates is enough: it always gives as many as asked
for, leaves no pair without a name, and tells the cluster of a later pair by the nearest centre.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mars_engine.words.config import MapConfig
from mars_engine.words.errors import NotReadyError
from mars_engine.words.protocols import MapReducer
from mars_engine.words.records import Float32Array, IntArray

if TYPE_CHECKING:
    from umap.umap_ import UMAP

FEWEST_PAIRS = 15
"""With fewer, neighbourhoods say nothing, and a list is read more quickly."""
PAIRS_A_CLUSTER = 20
WORDS_A_CLUSTER = 6
WORD = r"(?u)(?<!['’])\b[^\W\d_]{3,}\b(?!['’])"
"""A word of letters; parts of contractions, as of "don't", name nothing."""
MOST_WORDS = 50_000
STARTS = 4


@dataclass(frozen=True)
class UmapReducer:
    """A fitted UMAP."""

    umap: "UMAP"

    def place(self, vectors: Float32Array) -> Float32Array:
        with _known_warnings_ignored():
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
        with _known_warnings_ignored():
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
        """Return each cluster's words by their part in the divergence of its texts from all: p · log(p / q).

        p is the share of the cluster's texts that have the word and q that of all texts; one text that has it as often
        as all do is added to the cluster, so that a word of one text weighs little. A word counts once a text, so that
        no single text names its cluster; what is equally common everywhere names none.
        """
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import CountVectorizer

        vectorizer = CountVectorizer(
            stop_words="english", token_pattern=WORD, max_features=MOST_WORDS, binary=True, dtype=np.float64
        )
        try:
            counts = vectorizer.fit_transform(texts)
        except ValueError:  # scikit-learn says so where no text has a word
            return [()] * count
        members = csr_matrix((np.ones(len(texts)), (clusters, np.arange(len(texts)))), shape=(count, len(texts)))
        overall = np.asarray(counts.mean(axis=0)).ravel()
        sizes = np.asarray(members.sum(axis=1)).reshape(-1, 1)
        shares = ((members @ counts).toarray() + overall) / (sizes + 1)
        telling = shares * np.log(shares / overall)
        words = vectorizer.get_feature_names_out()
        order = np.argsort(-telling, axis=1, kind="stable")[:, :WORDS_A_CLUSTER]
        return [
            tuple(str(words[index]) for index in order[number] if telling[number, index] > 0) for number in range(count)
        ]


@contextmanager
def _known_warnings_ignored() -> Iterator[None]:
    """Ignore what UMAP warns of although nothing is amiss."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        yield
