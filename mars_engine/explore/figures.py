"""What is drawn of a scene: the histogram of margins, clouds of points, and the quadrants of the plane."""

from dataclasses import dataclass

import numpy as np

from mars_engine.augment.quadrants import PlaneBorders, Quadrant, part_plane
from mars_engine.core.config import AllocationConfig, GateConfig
from mars_engine.core.records import (
    Float32Array,
    FloatArray,
    IntArray,
)
from mars_engine.data.pair_index import DECISION_CODES
from mars_engine.evaluate.series import MOST_POINTS
from mars_engine.explore.explorer import Positions, Scene
from mars_engine.explore.view import Box, Interval, drawn_box
from mars_engine.stats.metrics import margin_bin_edges

MARGIN_BINS = 60
MOST_TELLING = 500
LOWEST_SHARE = 2 / 3
"""Of the sample: the pairs with the lowest margins. The others are drawn at random."""
DENSITY_BINS = (240, 140)
"""Columns and rows of a density."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Margins of all pairs and of the selected ones; a bin edge lies at 0, so no bin mixes right and wrong."""

    edges: FloatArray
    all: IntArray
    selected: IntArray
    unknown: int
    """Pairs that no model has scored."""


def margin_histogram(scene: Scene) -> Histogram | None:
    """Return the histogram of a scene; None where no pair has a margin."""
    margins = scene.index.margin
    known = ~np.isnan(margins)
    if not known.any():
        return None
    edges = margin_bin_edges(margins[known].astype(np.float64), MARGIN_BINS)
    counts, _ = np.histogram(margins[known], bins=edges)
    selected, _ = np.histogram(margins[known & scene.selected], bins=edges)
    return Histogram(edges, counts, selected, int((~known).sum()))


# -------------------------------------------------------------------------------------------------------------- clouds


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """What is drawn in a window of a map or of the plane: each pair, or densities and a sample of the selected ones."""

    window: Box
    inside: int
    """Pairs in the window."""
    points: Positions
    """Selected pairs that have a point of their own."""
    context: Positions
    """Pairs that are not selected and have a point; none where there is a density."""
    density: IntArray | None
    """All pairs in each cell, shape (rows, columns); None where each pair has a point."""
    density_selected: IntArray | None

    @property
    def is_dense(self) -> bool:
        return self.density is not None


def draw_cloud(
    x: Float32Array, y: Float32Array, scene: Scene, *, zoom: Box | None = None, seed: int = 0
) -> Cloud | None:
    """Return what is drawn of pairs at these coordinates, within the zoom; None where nothing lies there."""
    known = ~(np.isnan(x) | np.isnan(y))
    if zoom is not None:
        known &= zoom.holds(x, y)
    inside = np.flatnonzero(known)
    if not len(inside):
        return None
    window = zoom or Box(_span(x[inside]), _span(y[inside]))
    selected = scene.selected[inside]
    if len(inside) <= MOST_POINTS:
        return Cloud(window, len(inside), inside[selected], inside[~selected], None, None)
    density, density_selected = (_density(x[some], y[some], window) for some in (inside, inside[selected]))
    telling = most_telling(scene.index.margin, inside[selected], seed=seed)
    return Cloud(window, len(inside), telling, telling[:0], density, density_selected)


def most_telling(margins: Float32Array, positions: Positions, *, most: int = MOST_TELLING, seed: int = 0) -> Positions:
    """Return the pairs that tell most: those with the lowest margins, and a sample of the others drawn by the seed."""
    if len(positions) <= most:
        return positions
    count = int(most * LOWEST_SHARE)
    order = np.argpartition(np.where(np.isnan(margins[positions]), np.inf, margins[positions]), count)
    others = np.random.default_rng(seed).choice(order[count:], most - count, replace=False)
    telling: Positions = positions[np.sort(np.concatenate([order[:count], others]))]
    return telling


def _span(values: Float32Array) -> Interval:
    """The values' range and a little more, so that no point lies on the rim."""
    low, high = float(values.min()), float(values.max())
    room = 0.02 * (high - low) or 0.5
    return Interval(low - room, high + room)


def _density(x: Float32Array, y: Float32Array, window: Box) -> IntArray:
    columns, rows = DENSITY_BINS
    across = _cells(x, window.x, columns)
    up = _cells(y, window.y, rows)
    counts = np.bincount(up * columns + across, minlength=columns * rows)
    return counts.astype(np.int64).reshape(rows, columns)


def _cells(values: Float32Array, span: Interval, cells: int) -> Positions:
    width = (span.high - span.low) or 1.0
    cell: Positions = np.clip((values - span.low) * (cells / width), 0, cells - 1).astype(np.int64)
    return cell


# ---------------------------------------------------------------------------------------------------------- quadrants


@dataclass(frozen=True, slots=True)
class Quadrants:
    """The plane's four quarters with how many selected pairs are drawn in each, and the borders that part them."""

    borders: PlaneBorders
    quarters: tuple[Quadrant, ...]
    flipped: int
    """Pairs of the plane whose label was flipped: drawn at their margins as labelled, which a plan turns."""

    def box(self, name: str, within: Box) -> Box:
        """Return the part of a window that is the quarter of this name, as a brush."""
        quarter = next(quarter for quarter in self.quarters if quarter.name == name)
        hard_below, close_below = self.borders.hard_below, self.borders.close_below
        return drawn_box(
            (within.x.low, hard_below) if quarter.is_hard else (hard_below, within.x.high),
            (within.y.low, close_below) if quarter.is_close else (close_below, within.y.high),
        )


def quadrants(scene: Scene, *, allocation: AllocationConfig, gate: GateConfig) -> Quadrants | None:
    """Return where the plane is parted, as on Overview, and how many of the selected pairs are drawn where.

    None where no training pair has a margin and a distance. Pairs are counted where they are drawn, at their margins as
    labelled, so that a brush around a quarter selects as many.
    """
    index = scene.index
    borders = part_plane(index, allocation=allocation, gate=gate)
    if borders is None:
        return None
    known = ~np.isnan(index.margin) & ~np.isnan(index.distance)
    return Quadrants(
        borders,
        borders.quadrants(index.margin[scene.selected], index.distance[scene.selected]),
        flipped=int((known & (index.decision == DECISION_CODES.index("flip"))).sum()),
    )
