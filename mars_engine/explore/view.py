"""A view of the pairs: filters, brushes, map, order and page, and how all of it is written into a link.

A link holds everything, so that whoever opens it sees the same selection. What is brushed is kept as a geometry with
five significant digits and at most `MOST_CORNERS` corners: a link with two lassos stays below 2,000 characters.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from mars_engine.core.records import MAP_KINDS, BoolArray, Float32Array, MapKind
from mars_engine.data.pair_index import DECISION_CODES, SPLIT_CODES, VERDICT_CODES
from mars_engine.stats.geometry import inside_interval, inside_polygon, simplify_polygon

MOST_CORNERS = 40
MOST_CHARACTERS = 200
"""Of a text that is searched for."""
MOST_NEAREST = 10_000
USUAL_NEAREST = (10, 50)
"""Where no number is chosen, a tenth of the pairs is looked for by meaning, within these bounds: many of a small set
would be nearly all of it."""

UNTRIAGED, UNDECIDED = "untriaged", "undecided"
VERDICTS = (UNTRIAGED, *VERDICT_CODES[1:])
DECISIONS = (UNDECIDED, *DECISION_CODES[1:])
PROPOSAL_STATES = ("none", "any", "pending", "accepted", "rejected")
"""Whether a pair has no proposals, some, or some of that status."""

ColourBy = Literal["margin", "out_of_fold", "label", "subset", "dataset", "round"]
COLOURS: tuple[ColourBy, ...] = ("margin", "out_of_fold", "label", "subset", "dataset", "round")

Sort = Literal["margin", "distance", "out_of_fold", "budget", "proposals", "imported", "nearest"]
SORTS: tuple[Sort, ...] = ("margin", "distance", "out_of_fold", "budget", "proposals", "imported", "nearest")


@dataclass(frozen=True, slots=True)
class Interval:
    """A range with its ends; an end may be infinite."""

    low: float = -math.inf
    high: float = math.inf

    def holds(self, values: Float32Array) -> BoolArray:
        """Which values lie in it; NaN lies in none."""
        return inside_interval(values, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with its rim."""

    x: Interval
    y: Interval

    def holds(self, x: Float32Array, y: Float32Array) -> BoolArray:
        return self.x.holds(x) & self.y.holds(y)


@dataclass(frozen=True, slots=True)
class Lasso:
    """A polygon."""

    corners: tuple[tuple[float, float], ...]

    def holds(self, x: Float32Array, y: Float32Array) -> BoolArray:
        return inside_polygon(x, y, np.array(self.corners, dtype=np.float64).reshape(-1, 2))


Region = Box | Lasso


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at. The selection holds the pairs that satisfy every filter and lie in every brush."""

    margin: Interval | None = None
    distance: Interval | None = None
    split: str = ""
    """One of SPLIT_CODES, or both where it is empty."""
    subsets: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    """Some of VERDICTS; any where there are none, as for the others."""
    decisions: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()
    words: str = ""
    """Words that occur in a pair's texts."""
    meaning: str = ""
    """A text whose nearest pairs on the map, by the encoder, are looked for."""
    nearest: int | None = None
    """How many; as many as are usual for the number of pairs where it is None."""
    pair_set: str = ""
    margin_brush: Interval | None = None
    map_brush: Region | None = None
    plane_brush: Region | None = None
    map: MapKind = "difference"
    colour: ColourBy = "margin"
    against: str = ""
    """Id of a model under whose margins the map is drawn a second time, beside that of the newest; "" for none."""
    map_zoom: Box | None = None
    plane_zoom: Box | None = None
    sort: Sort | None = None
    """None where nobody chose an order: the nearest first where a meaning is looked for, else by margin."""
    descending: bool = False
    page: int = 1

    @property
    def is_filtered(self) -> bool:
        """Whether anything restricts the selection."""
        plain = View()
        return any(getattr(self, name) != getattr(plain, name) for name in RESTRICTING)

    def nearest_among(self, pairs: int) -> int:
        """How many of so many pairs a search by meaning finds."""
        fewest, most = USUAL_NEAREST
        return self.nearest or max(fewest, min(most, pairs // 10))


RESTRICTING = (
    *("margin", "distance", "split", "subsets", "datasets", "verdicts", "decisions", "proposals", "words", "meaning"),
    *("pair_set", "margin_brush", "map_brush", "plane_brush"),
)
"""The fields by which a view selects."""


@dataclass(frozen=True, slots=True)
class ReadView:
    """A view out of a link, and what in the link could not be read and was ignored, in plain words."""

    view: View
    problems: tuple[str, ...]


def drawn_lasso(x: Sequence[float], y: Sequence[float]) -> Lasso | None:
    """Return a lasso as it was drawn, with few enough corners for a link; None where it encloses nothing."""
    corners = np.column_stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    corners = corners[np.isfinite(corners).all(axis=1)]
    if len(corners) < 3:
        return None
    return Lasso(tuple((_rounded(left), _rounded(up)) for left, up in simplify_polygon(corners, MOST_CORNERS).tolist()))


def drawn_box(x: Sequence[float], y: Sequence[float]) -> Box:
    """Return a box as it was drawn, between the least and the greatest of the coordinates."""
    return Box(drawn_interval(x), drawn_interval(y))


def drawn_interval(values: Sequence[float]) -> Interval:
    """Return the range of some values, as a link holds it."""
    return Interval(_rounded(min(values)), _rounded(max(values)))


# --------------------------------------------------------------------------------------------------------- into a link


def link_parameters(view: View) -> dict[str, str | list[str]]:
    """Return a view as query parameters; what is as usual is left out."""
    usual = View()
    return {
        part.key: part.write(getattr(view, name))
        for name, part in _PARTS.items()
        if getattr(view, name) != getattr(usual, name)
    }


def read_view(parameters: Mapping[str, Sequence[str]]) -> ReadView:
    """Return the view that query parameters describe, each given as the list of its values.

    A parameter that cannot be read is ignored and listed; one that is no part of a view is left alone.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, part in _PARTS.items():
        given = parameters.get(part.key)
        if not given:
            continue
        try:
            values[name] = part.read(list(given))
        except ValueError as error:
            problems.append(f"The link's '{part.key}' was ignored: {error}.")
    return ReadView(View(**values), tuple(problems))


def _rounded(number: float) -> float:
    return float(_number(number))


def _number(number: float) -> str:
    return f"{number:.5g}"


def _read_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]!r} is not finite")
    return number


def _write_interval(interval: Interval) -> str:
    return "_".join("" if math.isinf(end) else _number(end) for end in (interval.low, interval.high))


def _read_interval(texts: list[str]) -> Interval:
    low, mark, high = texts[0].partition("_")
    if not mark:
        raise ValueError(f"{texts[0][:40]!r} is no range; expected LOW_HIGH, an end left out where it is open")
    found = Interval(_read_number(low) if low else -math.inf, _read_number(high) if high else math.inf)
    if found.low > found.high:
        raise ValueError(f"the range {texts[0][:40]!r} ends before it begins")
    return found


def _write_region(region: Region) -> str:
    if isinstance(region, Box):
        return "_".join(_number(end) for end in (region.x.low, region.x.high, region.y.low, region.y.high))
    return "_".join(["l", *(_number(value) for corner in region.corners for value in corner)])


def _read_region(texts: list[str]) -> Region:
    if not texts[0].startswith("l_"):
        return _read_box(texts)
    numbers = [_read_number(part) for part in texts[0].split("_")[1:]]
    if len(numbers) % 2 or not 3 <= len(numbers) // 2 <= MOST_CORNERS:
        raise ValueError(f"a lasso has 3 to {MOST_CORNERS} corners of two numbers each, and it has {len(numbers)}")
    return Lasso(tuple(zip(numbers[0::2], numbers[1::2], strict=True)))


def _read_box(texts: list[str]) -> Box:
    numbers = [_read_number(part) for part in texts[0].split("_")]
    if len(numbers) != 4:
        raise ValueError(f"a box has 4 numbers, and it has {len(numbers)}")
    left, right, bottom, top = numbers
    if left > right or bottom > top:
        raise ValueError("the box ends before it begins")
    return Box(Interval(left, right), Interval(bottom, top))


def _read_text(texts: list[str]) -> str:
    if len(texts[0]) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(texts[0]):,} characters, and at most {MOST_CHARACTERS} are looked for")
    return texts[0]


def _read_whole(most: int) -> Callable[[list[str]], int]:
    def read(texts: list[str]) -> int:
        if not (texts[0].isascii() and texts[0].isdigit() and 1 <= int(texts[0][:12]) <= most):
            raise ValueError(f"{texts[0][:40]!r} is no whole number from 1 to {most:,}")
        return int(texts[0])

    return read


def _one_of(*known: str) -> Callable[[list[str]], str]:
    def read(texts: list[str]) -> str:
        if texts[0] not in known:
            raise ValueError(f"{texts[0][:40]!r} is none of {', '.join(known)}")
        return texts[0]

    return read


def _some_of(*known: str) -> Callable[[list[str]], tuple[str, ...]]:
    read_one = _one_of(*known)
    return lambda texts: tuple(dict.fromkeys(read_one([text]) for text in texts[0].split("_")))


@dataclass(frozen=True, slots=True)
class _Part:
    """How one field of a view stands in a link."""

    key: str
    write: Callable[[Any], str | list[str]]
    read: Callable[[list[str]], Any]


def _same(value: str) -> str:
    return value


_PARTS = {
    "margin": _Part("margin", _write_interval, _read_interval),
    "distance": _Part("distance", _write_interval, _read_interval),
    "split": _Part("split", _same, _one_of(*SPLIT_CODES)),
    "subsets": _Part("subset", list, tuple),
    "datasets": _Part("dataset", list, tuple),
    # No word of these three has a low line in it but the decision label_right, which is cut out as "right".
    "verdicts": _Part("verdict", "_".join, _some_of(*VERDICTS)),
    "decisions": _Part(
        "label",
        lambda names: "_".join(name.removeprefix("label_") for name in names),
        lambda texts: tuple(
            "label_right" if name == "right" else name
            for name in _some_of(*(known.removeprefix("label_") for known in DECISIONS))(texts)
        ),
    ),
    "proposals": _Part("proposals", "_".join, _some_of(*PROPOSAL_STATES)),
    "words": _Part("words", _same, _read_text),
    "meaning": _Part("meaning", _same, _read_text),
    "nearest": _Part("nearest", str, _read_whole(MOST_NEAREST)),
    "pair_set": _Part("set", _same, _read_text),
    "margin_brush": _Part("in_margin", _write_interval, _read_interval),
    "map_brush": _Part("in_map", _write_region, _read_region),
    "plane_brush": _Part("in_plane", _write_region, _read_region),
    "map": _Part("map", _same, _one_of(*MAP_KINDS)),
    "colour": _Part("colour", _same, _one_of(*COLOURS)),
    "against": _Part("against", _same, _read_text),
    "map_zoom": _Part("map_zoom", _write_region, _read_box),
    "plane_zoom": _Part("plane_zoom", _write_region, _read_box),
    "sort": _Part("sort", _same, _one_of(*SORTS)),
    "descending": _Part("down", lambda _: "1", lambda texts: _one_of("1", "0")(texts) == "1"),
    "page": _Part("page", str, _read_whole(10**9)),
}
LINK_KEYS = tuple(part.key for part in _PARTS.values())
"""The names of all query parameters of a view."""

assert set(_PARTS) == {each.name for each in fields(View)}  # noqa: S101 (a field that no link holds would be lost)
