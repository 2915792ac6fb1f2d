"""What makes a semantic map, what places later pairs into it, and what keeps it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mars_engine.core.records import Float32Array, IntArray, MapKind, MapPoints


class MapReducer(Protocol):
    """A fitted map: it gives a place to what comes later, and moves nothing."""

    def place(self, vectors: Float32Array) -> Float32Array:
        """Return the places of n vectors, shape (n, 2)."""
        ...


class Mapper(Protocol):
    """Makes maps: the same vectors under the same settings give the same map."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain JSON that, with the vectors, determines the map."""
        ...

    def fit(self, vectors: Float32Array) -> tuple[MapReducer, Float32Array]:
        """Return a map fitted on n vectors, and their places, shape (n, 2).

        Raises:
            NotReadyError: there are too few.
        """
        ...

    def centres(self, places: Float32Array) -> Float32Array:
        """Return the centres of the clusters that the places form, shape (k, 2); k is at least 1."""
        ...

    def distinctive_words(self, texts: Sequence[str], clusters: IntArray, count: int) -> list[tuple[str, ...]]:
        """Return for each of `count` clusters the words that tell its texts from the others', the most telling first.

        Args:
            texts: n texts.
            clusters: number of each text's cluster, shape (n,).
            count: how many clusters there are.
        """
        ...


class MapKeeper(Protocol):
    """Keeps semantic maps, one of each kind."""

    def load(self, kind: MapKind) -> MapPoints | None:
        """Return the map of a kind, None where none was made.

        Raises:
            WorkspaceError: its files are damaged.
        """
        ...

    def reducer(self, kind: MapKind) -> MapReducer:
        """Return what places new pairs into a map that is there.

        Raises:
            WorkspaceError: its file is damaged.
        """
        ...

    def save(self, points: MapPoints, reducer: MapReducer) -> None:
        """Keep a map in the place of an earlier one of its kind, whole or not at all."""
        ...
