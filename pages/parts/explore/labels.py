"""Where the names of a map's clusters stand, so that none covers another."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from mars_engine.core.records import MapCluster
from mars_engine.explore.view import Box

WORDS = 3
NARROW = 260
"""Pixels across the map on a telephone. Names that are apart there are apart on every wider screen: their heights stay
the same, and the distances between them grow."""
LETTER, LINE = 0.56, 1.25
"""Width of a letter and height of a line, as parts of the type's size."""
ROOM = 8
"""Pixels that the ground behind a name, and what parts it from the next, take of height and width."""
SHIFTS = (0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2, -2)
"""By how many lines a name may stand above its cluster's middle, or below it, in the order in which they are tried."""
SIDE = 0.25
"""Within this part of the width from a rim a name had better begin or end at its cluster's middle than stand there."""
LEFT_OF_MIDDLE = {"center": 0.5, "left": 0.0, "right": 1.0}
"""Which part of a name stands left of its cluster's middle, by plotly's word for it."""


@dataclass(frozen=True, slots=True)
class PlacedName:
    """The name of a cluster: where it stands, and by how many pixels above the cluster's middle."""

    cluster: MapCluster
    text: str
    xanchor: str
    yshift: float


def place_names(clusters: Sequence[MapCluster], window: Box, *, height: float, type_size: float) -> list[PlacedName]:
    """Return the names of the clusters within a window, none over another.

    The largest clusters come first. One whose name fits nowhere near its middle has none: a zoom gives it room.

    Args:
        clusters: some of them may lie outside.
        window: what is shown of the map.
        height: of the map on the screen, in pixels.
        type_size: of the names, in pixels.
    """
    placed: list[PlacedName] = []
    taken: list[tuple[float, float, float, float]] = []
    line = LINE * type_size + ROOM
    for cluster in sorted(clusters, key=lambda cluster: -cluster.size):
        across = _share(cluster.x, window.x.low, window.x.high)
        up = _share(cluster.y, window.y.low, window.y.high)
        if not cluster.words or not (0 <= across <= 1 and 0 <= up <= 1):
            continue
        text = ", ".join(cluster.words[:WORDS])
        width = LETTER * type_size * len(text) + ROOM
        best = "left" if across < SIDE else "right" if across > 1 - SIDE else "center"
        for shift, anchor in product(SHIFTS, sorted(LEFT_OF_MIDDLE, key=lambda anchor: anchor != best)):
            left = across * NARROW - LEFT_OF_MIDDLE[anchor] * width
            bottom = up * height + (shift - 0.5) * line
            box = (left, left + width, bottom, bottom + line)
            is_inside = bottom >= 0 and bottom + line <= height
            is_inside &= anchor == best or (left >= 0 and left + width <= NARROW)
            if is_inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append(PlacedName(cluster, text, anchor, shift * line))
                break
    return placed


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / ((high - low) or 1.0)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
