"""Map: a place for every pair by what it says. Made once and kept; pairs that come later are placed, none is moved."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.config import MapConfig
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.progress import Progress
from mars_engine.core.records import (
    ID_LENGTH,
    Float32Array,
    IntArray,
    MapCluster,
    MapKind,
    MapPoints,
    Pair,
    Passage,
)
from mars_engine.embeddings.maps.protocols import MapKeeper, Mapper, MapReducer
from mars_engine.embeddings.protocols import Encoder
from mars_engine.store import Store

PAIRS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class MapReport(ShownAsTable):
    """What was done for a map."""

    kind: MapKind
    pairs: int
    placed_now: int
    """Pairs that got their place now; 0 where the map was complete."""
    fitted_anew: bool
    fitted_on: int
    clusters: tuple[MapCluster, ...]
    seconds: float


def make_map(
    store: Store,
    encoder: Encoder,
    mapper: Mapper,
    shelf: MapKeeper,
    kind: MapKind,
    *,
    config: MapConfig,
    progress: Progress,
    again: bool = False,
) -> MapReport:
    """Give every pair of both splits a place on a map.

    Where a map was made under the same settings, it is kept and only new pairs are placed into it. It is fitted anew
    where settings or encoder have changed, or where it was fitted on fewer than half of the pairs it could be.

    Args:
        store: has the pairs.
        encoder: embeds their texts.
        mapper: makes the map.
        shelf: keeps it.
        kind: what the map shows a pair by.
        config: how many pairs a map is fitted on, and the seed that draws them.
        progress: shows how far the work has come.
        again: make it anew in any case, also where the files of the one that is there are damaged.

    Raises:
        NotReadyError: there are too few pairs.
        WorkspaceError: the files of the map that is there are damaged.
    """
    started = time.perf_counter()
    pairs = [*store.pairs.pairs("train"), *store.pairs.pairs("heldout")]
    known = None if again else shelf.load(kind)
    if known is None or not _still_fits(known, mapper, encoder, len(pairs), config):
        embeddings = _embed(encoder, pairs, kind, progress)
        points, reducer = _fit(mapper, encoder, pairs, embeddings, kind, config, progress)
        placed_now, fitted_anew = len(pairs), True
    else:
        placed = frozenset(known.ids.tolist())
        fresh = [pair for pair in pairs if pair.id.encode() not in placed]
        points, placed_now, fitted_anew = known, len(fresh), False
        if fresh:
            reducer = shelf.reducer(kind)
            points = _extend(known, reducer, fresh, _embed(encoder, fresh, kind, progress), progress)
    if placed_now:
        shelf.save(points, reducer)
    return MapReport(
        kind=kind,
        pairs=len(points),
        placed_now=placed_now,
        fitted_anew=fitted_anew,
        fitted_on=points.fitted_on,
        clusters=points.clusters,
        seconds=time.perf_counter() - started,
    )


def _still_fits(known: MapPoints, mapper: Mapper, encoder: Encoder, pairs: int, config: MapConfig) -> bool:
    as_before = known.settings == mapper.settings and known.encoder == encoder.fingerprint
    return as_before and 2 * known.fitted_on >= min(pairs, config.fit_pairs)


# ------------------------------------------------------------------------------------------------------------- steps


def _embed(encoder: Encoder, pairs: Sequence[Pair], kind: MapKind, progress: Progress) -> NDArray[np.float16]:
    """Return what the pairs are mapped by, shape (n, d). Half precision: a map needs no more, and it is kept."""
    parts = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = pairs[start : start + PAIRS_AT_ONCE]
        if kind == "difference":
            passages = [Passage(text) for pair in some for text in (pair.chosen, pair.rejected)]
            sides = encoder.encode(passages, progress=progress).vectors
            vectors = sides[0::2] - sides[1::2]
        else:
            texts = [_prompt_text(pair) if kind == "prompt" else getattr(pair, kind) for pair in some]
            vectors = encoder.encode([Passage(text) for text in texts], progress=progress).vectors
        parts.append(vectors.astype(np.float16))
    return np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float16)


def _fit(
    mapper: Mapper,
    encoder: Encoder,
    pairs: Sequence[Pair],
    embeddings: NDArray[np.float16],
    kind: MapKind,
    config: MapConfig,
    progress: Progress,
) -> tuple[MapPoints, MapReducer]:
    """Fit a map on a sample of the pairs, name its clusters, and place the others."""
    rng = np.random.default_rng(config.seed)
    sample = np.sort(rng.permutation(len(pairs))[: config.fit_pairs])
    with progress.task(f"fit the map of the {kind}", 1) as task:
        reducer, sample_places = mapper.fit(embeddings[sample].astype(np.float32))
        task.advance()
    others = np.setdiff1d(np.arange(len(pairs)), sample)
    places = np.empty((len(pairs), 2), dtype=np.float32)
    places[sample] = sample_places
    places[others] = _place(reducer, embeddings[others], progress)
    centres = mapper.centres(sample_places)
    cluster = _nearest(places, centres)
    texts = [_cluster_text(pairs[index], kind) for index in sample.tolist()]
    words = mapper.distinctive_words(texts, cluster[sample], len(centres))
    clusters = [
        MapCluster(number, float(x), float(y), 0, words[number]) for number, (x, y) in enumerate(centres.tolist())
    ]
    points = MapPoints(
        kind=kind,
        ids=_ids(pairs),
        x=places[:, 0],
        y=places[:, 1],
        cluster=cluster.astype(np.int16),
        clusters=_counted(clusters, cluster),
        embeddings=embeddings,
        encoder=encoder.fingerprint,
        fitted_on=len(sample),
        settings=mapper.settings,
    )
    return points, reducer


def _extend(
    known: MapPoints,
    reducer: MapReducer,
    fresh: Sequence[Pair],
    embeddings: NDArray[np.float16],
    progress: Progress,
) -> MapPoints:
    """Place pairs that came later; they go to the nearest cluster, and move nothing."""
    places = _place(reducer, embeddings, progress)
    centres = np.array([[each.x, each.y] for each in known.clusters], dtype=np.float32)
    cluster = np.concatenate([known.cluster.astype(np.int64), _nearest(places, centres)])
    return replace(
        known,
        ids=np.concatenate([known.ids, _ids(fresh)]),
        x=np.concatenate([known.x, places[:, 0]]),
        y=np.concatenate([known.y, places[:, 1]]),
        cluster=cluster.astype(np.int16),
        clusters=_counted(known.clusters, cluster),
        embeddings=np.concatenate([known.embeddings, embeddings]),
    )


def _place(reducer: MapReducer, embeddings: NDArray[np.float16], progress: Progress) -> Float32Array:
    places = np.empty((len(embeddings), 2), dtype=np.float32)
    with progress.task("place pairs on the map", len(embeddings)) as task:
        for start in range(0, len(embeddings), PAIRS_AT_ONCE):
            some = embeddings[start : start + PAIRS_AT_ONCE].astype(np.float32)
            places[start : start + len(some)] = reducer.place(some)
            task.advance(len(some))
    return places


# ------------------------------------------------------------------------------------------------------------ pieces


def _prompt_text(pair: Pair) -> str:
    return "\n\n".join(turn.content for turn in pair.prompt)


def _cluster_text(pair: Pair, kind: MapKind) -> str:
    """The words that a pair gives to its cluster's name: for a difference, those that only one answer has."""
    if kind == "prompt":
        return _prompt_text(pair)
    if kind != "difference":
        return str(getattr(pair, kind))
    chosen, rejected = pair.chosen.split(), pair.rejected.split()
    common = set(chosen) & set(rejected)
    return " ".join(word for word in [*chosen, *rejected] if word not in common)


def _nearest(places: Float32Array, centres: Float32Array) -> IntArray:
    distances = ((places[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def _counted(clusters: Sequence[MapCluster], numbers: IntArray) -> tuple[MapCluster, ...]:
    sizes = np.bincount(numbers, minlength=len(clusters)).tolist()
    return tuple(replace(cluster, size=size) for cluster, size in zip(clusters, sizes, strict=True))


def _ids(pairs: Sequence[Pair]) -> NDArray[np.bytes_]:
    return np.array([pair.id for pair in pairs], dtype=f"S{ID_LENGTH}")
