"""Explore: which pairs a view selects, and what is drawn of them; all of it from columns, in milliseconds.

`Explorer.look` finds the selection of a view. What is drawn follows from that scene: a histogram of the margins, a
cloud of points (or a density, where they are many) for the map and for the plane, and a page of the table.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mars_engine.core.errors import MarsError
from mars_engine.core.records import (
    MAP_KINDS,
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    MapCluster,
    MapKind,
)
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES, PairIndex, PairIndexCache
from mars_engine.embeddings.maps.protocols import MapKeeper
from mars_engine.explore.excerpts import excerpt, last_question
from mars_engine.explore.outlines import outline
from mars_engine.explore.shades import Shade, shade_of
from mars_engine.explore.view import UNDECIDED, UNTRIAGED, Sort, View
from mars_engine.store import Store

LOOKUPS_KEPT = 16
EMBEDDINGS_AT_ONCE = 20_000

Positions = NDArray[np.int64]
_Found = TypeVar("_Found")

QUESTION_CHARACTERS = 80
"""Of a question that names a point."""

MOST_WITHOUT_A_MAP = 10_000
"""Pairs among which a meaning is looked for without a map: 15 MB of embeddings, kept by the server."""

QUERY_MAPS: tuple[MapKind, ...] = ("prompt", "chosen", "rejected")
"""Maps of texts: only by their embeddings a text can be looked for."""


# ----------------------------------------------------------------------------------------------------------- the scene


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """A map, in the order of the index: NaN and cluster −1 where a pair has no place yet."""

    kind: MapKind
    x: Float32Array
    y: Float32Array
    cluster: NDArray[np.int16]
    clusters: tuple[MapCluster, ...]
    outlines: tuple[FloatArray, ...] = ()
    """Corners of what encloses most of each cluster's pairs, shape (m, 2); none where they span no area."""

    @property
    def placed(self) -> int:
        return int((~np.isnan(self.x)).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Positions of the pairs nearest in meaning to a text, the nearest first, and how near they are."""

    kind: MapKind
    """Which text of a pair the cosine is of."""
    positions: Positions
    cosines: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class Lookups:
    """Positions that were looked up outside of the index; None where the view does not ask for them."""

    matching: Positions | None = None
    members: Positions | None = None
    nearest: Nearest | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A view, carried out."""

    view: View
    index: PairIndex
    places: Places | None
    """The view's map; None where it was not made yet."""
    lookups: Lookups
    selected: BoolArray
    problems: tuple[str, ...]
    """What of the view could not be carried out and was left out, in plain words."""

    @property
    def count(self) -> int:
        return int(self.selected.sum())

    @property
    def sort(self) -> Sort:
        """The order of the table: the one chosen by hand, else the nearest first where they were found.

        A direction chosen by hand goes with the margin, as in the links that were made before there was a choice.
        """
        if self.view.sort is not None:
            return self.view.sort
        return "nearest" if self.lookups.nearest is not None and not self.view.descending else "margin"

    @property
    def ids(self) -> list[str]:
        """Ids of the selected pairs, in the order of their import."""
        return self.ids_of(self.selected)

    @property
    def training(self) -> BoolArray:
        """Which are selected and trained on; those held out are neither checked nor proposed for."""
        trained_on: BoolArray = self.selected & (self.index.split == SPLIT_CODES.index("train"))
        return trained_on

    def ids_of(self, which: BoolArray) -> list[str]:
        """Ids of some of the view's pairs, in the order of their import. A million of them take a while."""
        return [pair_id.decode() for pair_id in self.index.ids[which].tolist()]


def select(index: PairIndex, view: View, *, places: Places | None = None, lookups: Lookups | None = None) -> BoolArray:
    """Return which pairs satisfy every filter and lie in every brush. A brush on a map that is not there is left out.

    A pair whose margin (distance, place) is not known satisfies no filter and lies in no brush of it.
    """
    lookups = lookups or Lookups()
    chosen = np.ones(len(index), dtype=bool)
    for interval, values in (
        (view.margin, index.margin),
        (view.distance, index.distance),
        (view.margin_brush, index.margin),
    ):
        if interval is not None:
            chosen &= interval.holds(values)
    if view.split:
        chosen &= index.split == SPLIT_CODES.index(view.split)
    if view.subsets:
        chosen &= np.isin(index.subset, _codes_of(view.subsets, index.subset_names))
    if view.datasets:
        chosen &= np.isin(index.dataset, _codes_of(view.datasets, index.dataset_names))
    if view.verdicts:
        wanted = ["" if name == UNTRIAGED else name for name in view.verdicts]
        chosen &= np.isin(index.verdict, _codes_of(wanted, VERDICT_CODES))
    if view.decisions:
        wanted = ["" if name == UNDECIDED else name for name in view.decisions]
        chosen &= np.isin(index.decision, _codes_of(wanted, DECISION_CODES))
    if view.proposals:
        chosen &= _has_proposals(index, view.proposals)
    nearest = None if lookups.nearest is None else lookups.nearest.positions
    for positions in (lookups.matching, lookups.members, nearest):
        if positions is not None:
            listed = np.zeros(len(index), dtype=bool)
            listed[positions] = True
            chosen &= listed
    if view.plane_brush is not None:
        chosen &= view.plane_brush.holds(index.margin, index.distance)
    if view.map_brush is not None and places is not None:
        chosen &= view.map_brush.holds(places.x, places.y)
    return chosen


def _codes_of(names: Sequence[str], known: Sequence[str]) -> list[int]:
    return [code for code, name in enumerate(known) if name in set(names)]


def _has_proposals(index: PairIndex, states: Sequence[str]) -> BoolArray:
    columns = {
        "none": index.proposals == 0,
        "any": index.proposals > 0,
        "pending": index.pending > 0,
        "accepted": index.accepted > 0,
        "rejected": index.rejected > 0,
    }
    found: BoolArray = np.any([columns[state] for state in states], axis=0)
    return found


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Pairs that are alike, the nearest first, by what a map was made of."""

    kind: MapKind
    pair_ids: tuple[str, ...]
    cosines: tuple[float, ...]


class Explorer:
    """Carries views out. What took a search is remembered for a while. Threads may share it."""

    def __init__(
        self,
        store: Store,
        index_cache: PairIndexCache,
        maps: MapKeeper,
        embed: Callable[[Sequence[str]], Float32Array],
    ) -> None:
        """Read nothing yet.

        Args:
            store: has texts and sets.
            index_cache: has the columns of all pairs.
            maps: has the maps and their embeddings.
            embed: returns unit-length embeddings of texts, by the encoder that the maps were made with.
        """
        self._store, self._index_cache, self._maps, self._embed = store, index_cache, maps, embed
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[tuple[object, ...], Any]] = OrderedDict()

    def look(self, view: View) -> Scene:
        """Return what a view selects; `problems` says where a map is damaged or the encoder cannot be asked."""
        index = self._index_cache.current()
        problems: list[str] = []
        places = self._readable_places(index, view.map, problems)
        if view.map_brush is not None and places is None:
            problems.append(f"The selection on the map of the {view.map} was left out: there is no such map yet.")
        lookups = Lookups(
            matching=self._matching(index, view.words) if view.words else None,
            members=self._members(index, view.pair_set, problems) if view.pair_set else None,
            nearest=self._readable_nearest(index, view, problems) if view.meaning.strip() else None,
        )
        selected = select(index, view, places=places, lookups=lookups)
        return Scene(view, index, places, lookups, selected, tuple(problems))

    def _readable_places(self, index: PairIndex, kind: MapKind, problems: list[str]) -> Places | None:
        try:
            return self._places(index, kind)
        except MarsError as error:
            problems.append(f"The map of the {kind} cannot be shown: {error}")
            return None

    def _readable_nearest(self, index: PairIndex, view: View, problems: list[str]) -> Nearest | None:
        try:
            return self._nearest(index, view, problems)
        except MarsError as error:
            problems.append(f"The search by meaning was left out: {error}")
            return None

    def _places(self, index: PairIndex, kind: MapKind) -> Places | None:
        points = self._maps.load(kind)
        if points is None:
            return None

        def align() -> Places:
            x, y = (np.full(len(index), np.nan, dtype=np.float32) for _ in range(2))
            cluster = np.full(len(index), -1, dtype=np.int16)
            positions = index.positions_of_ids(points.ids)
            known = positions >= 0
            for column, values in ((x, points.x), (y, points.y), (cluster, points.cluster)):
                column[positions[known]] = values[known]
            members = (cluster == each.number for each in points.clusters)
            outlines = tuple(outline(x[own], y[own]) for own in members)
            return Places(kind, x, y, cluster, points.clusters, outlines)

        return self._remember(("places", kind), (points, index.ids), align)

    def shade(self, scene: Scene) -> Shade:
        """Return what the view colours by."""
        index, by = scene.index, scene.view.colour
        return shade_of(index, by, rounds=self._rounds(index) if by == "round" else None)

    def _rounds(self, index: PairIndex) -> IntArray:
        def read() -> IntArray:
            found = self._store.browse.newest_rounds()
            places = index.positions_of_ids(found.source_ids)
            rounds = np.zeros(len(index), dtype=np.int64)
            rounds[places[places >= 0]] = found.rounds[places >= 0]
            return rounds

        return self._remember(("rounds",), (index.ids, index.proposals), read)

    def margins_under(self, index: PairIndex, model_id: str) -> Float32Array | None:
        """Return the margin of each pair under a model, NaN where it has not scored it; None where none is scored."""

        def read() -> Float32Array | None:
            columns = self._store.browse.margins(model_id)
            places = index.positions_of_ids(columns.pair_ids)
            margins = np.full(len(index), np.nan, dtype=np.float32)
            margins[places[places >= 0]] = columns.margin[places >= 0]
            return margins if len(columns.pair_ids) else None

        return self._remember(("margins", model_id), (index.ids, index.margin), read)

    def questions(self, index: PairIndex, positions: Positions) -> list[str]:
        """Return what was asked last in each of these pairs, its first `QUESTION_CHARACTERS` characters."""

        def read() -> list[str]:
            ids = [pair_id.decode() for pair_id in index.ids[positions].tolist()]
            pairs = self._store.pairs.by_id(ids)
            return [excerpt(last_question(pairs[each]), QUESTION_CHARACTERS) if each in pairs else "" for each in ids]

        return self._remember(("questions", positions.tobytes()), (index.ids,), read)

    def nearest_to(self, pair_id: str, count: int) -> Neighbours | None:
        """Return the pairs nearest to a pair by the embeddings of the first map that has it; None where none has."""
        for kind in MAP_KINDS:
            points = self._maps.load(kind)
            if points is None:
                continue
            found = np.flatnonzero(points.ids == pair_id.encode("ascii", "replace"))
            if len(found):
                row = int(found[0])
                likeness = _cosines(points.embeddings, _unit(points.embeddings[row]))
                likeness[row] = -np.inf
                nearest = _highest(likeness, min(count, len(likeness) - 1))
                ids = tuple(pair.decode() for pair in points.ids[nearest].tolist())
                return Neighbours(kind, ids, tuple(likeness[nearest].tolist()))
        return None

    def _matching(self, index: PairIndex, words: str) -> Positions:
        def search() -> Positions:
            return index.positions(self._store.browse.matching(words))

        return self._remember(("words", words), (index.ids,), search)

    def _members(self, index: PairIndex, set_id: str, problems: list[str]) -> Positions | None:
        if all(each.id != set_id for each in self._store.pair_sets.all()):
            problems.append("The link's set of pairs was left out: there is no such set any more.")
            return None

        def read() -> Positions:
            return index.positions(self._store.pair_sets.members(set_id))

        return self._remember(("set", set_id), (index.ids,), read)

    def _nearest(self, index: PairIndex, view: View, problems: list[str]) -> Nearest | None:
        """Return the pairs whose text is nearest in meaning, by the view's map or the first map of a text.

        Without such a map, the chosen answers of the pairs that have a semantic distance are searched: the encoder has
        read them, so that their embeddings are at hand.
        """
        kinds = sorted(QUERY_MAPS, key=lambda kind: kind != view.map)
        points = next((points for kind in kinds if (points := self._maps.load(kind)) is not None), None)
        if points is None:
            return self._nearest_chosen(index, view, problems)

        count = view.nearest_among(len(index))

        def search() -> Nearest:
            wanted = self._embed([view.meaning])[0]
            if len(wanted) != points.embeddings.shape[1]:
                raise MarsError(
                    f"the map of the {points.kind} was made with another encoder",
                    remedy=f"make it anew: 'mars map --of {points.kind}'",
                )
            likeness = _cosines(points.embeddings, wanted)
            highest = _highest(likeness, count)
            positions = index.positions_of_ids(points.ids[highest])
            return Nearest(points.kind, positions[positions >= 0], likeness[highest][positions >= 0])

        return self._remember(("meaning", view.meaning, count, points.kind), (points, index.ids), search)

    def _nearest_chosen(self, index: PairIndex, view: View, problems: list[str]) -> Nearest | None:
        read = np.flatnonzero(~np.isnan(index.distance))
        if not len(read):
            problems.append(
                "The search by meaning was left out: the encoder has not read the pairs yet. Score them by a model, or "
                "make the map of the prompt, the chosen or the rejected answer."
            )
            return None
        if len(read) > MOST_WITHOUT_A_MAP:
            problems.append(
                f"The search by meaning was left out: above {MOST_WITHOUT_A_MAP:,} pairs it needs the map of the "
                "prompt, the chosen or the rejected answer."
            )
            return None

        def embed() -> Float32Array:
            ids = [index.ids[place].decode("ascii") for place in read.tolist()]
            pairs = self._store.pairs.by_id(ids)
            return self._embed([pairs[pair_id].chosen for pair_id in ids])

        vectors = self._remember(("chosen",), (index.ids, index.distance), embed)
        count = view.nearest_among(len(index))

        def search() -> Nearest:
            likeness = vectors @ self._embed([view.meaning])[0]
            highest = _highest(likeness, count)
            return Nearest("chosen", read[highest], likeness[highest])

        return self._remember(("meaning", view.meaning, count, "read"), (vectors,), search)

    def _remember(self, key: Hashable, of: tuple[object, ...], make: Callable[[], _Found]) -> _Found:
        """Return what was made of these very objects before, else make it. Two threads may make it at once."""
        with self._lock:
            known = self._kept.get(key)
            if known is not None and all(old is new for old, new in zip(known[0], of, strict=True)):
                self._kept.move_to_end(key)
                remembered: _Found = known[1]
                return remembered
        made = make()
        with self._lock:
            self._kept[key] = (of, made)
            while len(self._kept) > LOOKUPS_KEPT:
                self._kept.popitem(last=False)
        return made


def _unit(vector: NDArray[np.float16]) -> Float32Array:
    wide = vector.astype(np.float32)
    return np.asarray(wide / max(float(np.linalg.norm(wide)), 1e-12), dtype=np.float32)


def _cosines(embeddings: NDArray[np.float16], wanted: Float32Array) -> Float32Array:
    """Return the cosine of each embedding with a vector of unit length; few at a time are read from the disk."""
    found = np.empty(len(embeddings), dtype=np.float32)
    for start in range(0, len(embeddings), EMBEDDINGS_AT_ONCE):
        some = np.asarray(embeddings[start : start + EMBEDDINGS_AT_ONCE], dtype=np.float32)
        lengths = np.maximum(np.linalg.norm(some, axis=1), 1e-12)
        found[start : start + len(some)] = (some @ wanted) / lengths
    return found


def _highest(values: Float32Array, count: int) -> Positions:
    """Positions of the highest values, the highest first."""
    count = min(count, len(values))
    if count <= 0:
        return np.array((), dtype=np.int64)
    highest = np.argpartition(-values, count - 1)[:count]
    return highest[np.argsort(-values[highest], kind="stable")]
