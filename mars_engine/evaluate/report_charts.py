"""The report's charts: small SVG drawings of our own, so that the file needs nothing from elsewhere.

Each has a title for screen readers, and never tells anything by colour alone: lines differ by dash, points by shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mars_engine.evaluate import series
from mars_engine.evaluate.results import ModelResult, Movement, Results, signed_points
from mars_engine.evaluate.series import SERIES
from mars_engine.stats.intervals import Interval

WIDTH = 760
LEFT, RIGHT = 190, 40
"""Margins for labels, in the drawing's units."""

INK, QUIET, GRID = "#1b2430", "#5b6675", "#d5dbe3"
BLUE = SERIES[0]
DASHES = {
    "solid": "",
    "dash": "6 4",
    "dot": "2 3",
    "dashdot": "8 3 2 3",
    "longdash": "10 4",
    "longdashdot": "10 4 2 4",
}
"""What SVG calls the dashes that the app's figures have."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Puts values from `low` to `high` between two places of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between `low` and `high`, at most about `most` of them."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    first = np.ceil(low / step)
    return [float(number * step) for number in np.arange(first, np.floor(high / step) + 1)]


def colour_of(place: int) -> str:
    """The colour of the model at a place among those compared, as in the app."""
    return SERIES[place % len(SERIES)]


def dash_of(place: int) -> str:
    """The dash of its lines."""
    return DASHES[series.DASHES[place % len(series.DASHES)]]


def interval_chart(results: Results) -> Markup:
    """Draw each model's held-out accuracy as a point with its interval, chance as a dotted line."""
    rows: list[tuple[str, Interval]] = [(model.label, model.evaluation.accuracy) for model in results.models]
    rows.append(("longer answer wins", results.longer_wins))
    low = min(0.5, *(interval.low for _, interval in rows)) - 0.04
    high = max(0.5, *(interval.high for _, interval in rows)) + 0.04
    height = 44 * len(rows) + 56

    x = Scale(low, high, LEFT, WIDTH - RIGHT)
    parts = [_tick(x.at(tick), 10, height - 46, f"{tick:.0%}") for tick in ticks(low, high)]
    parts.append(_line(x.at(0.5), 10, x.at(0.5), height - 46, QUIET, dash="2 3"))
    for place, (label, interval) in enumerate(rows):
        colour = QUIET if place == len(rows) - 1 else colour_of(place)
        parts += _interval_row(x, 30 + 44 * place, label, interval, f"{interval.estimate:.1%}", colour)
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 8, "held-out pairs ranked right", anchor="middle"))
    said = "; ".join(f"{label}: {each.estimate:.1%}, from {each.low:.1%} to {each.high:.1%}" for label, each in rows)
    return _drawing(height, f"Held-out accuracy with {results.level:.0%} intervals. {said}.", parts)


def difference_chart(rows: Sequence[tuple[str, Interval]], *, than: str) -> Markup:
    """Draw differences in accuracy as points with their intervals, no difference as a line; there must be a row.

    A difference whose interval misses 0 is drawn in blue, the others in grey.
    """
    low = min(0.0, *(interval.low for _, interval in rows)) - 0.01
    high = max(0.0, *(interval.high for _, interval in rows)) + 0.01
    height = 40 * len(rows) + 56

    x = Scale(low, high, LEFT, WIDTH - RIGHT)
    parts = [_tick(x.at(tick), 10, height - 46, f"{tick * 100:+g}" if tick else "0") for tick in ticks(low, high)]
    parts.append(_line(x.at(0), 10, x.at(0), height - 46, INK, width=1.5))
    for place, (label, interval) in enumerate(rows):
        colour = BLUE if interval.excludes_zero else QUIET
        parts += _interval_row(x, 30 + 40 * place, label, interval, signed_points(interval.estimate), colour)
    title = f"held-out accuracy less that of {than} (percentage points)"
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 8, title, anchor="middle"))
    said = "; ".join(
        f"{label}: {signed_points(each.estimate)}, from {signed_points(each.low)} to {signed_points(each.high)}"
        for label, each in rows
    )
    return _drawing(height, f"Held-out accuracy less that of {than}, in percentage points. {said}.", parts)


def movement_chart(movement: Movement, *, models: int) -> Markup:
    """Draw the margins of the same pairs before (dashed) and after (solid, filled) over the same bins.

    Args:
        movement: from the first to the last of the models compared.
        models: how many are compared, so that both have their colours.
    """
    height, base, left, top = 338, 280, 84, 54
    low, high = float(movement.edges[0]), float(movement.edges[-1])
    most = max(1, int(movement.counts_before.max()), int(movement.counts_after.max()))
    first, last = colour_of(0), colour_of(models - 1)

    x, y = Scale(low, high, left, WIDTH - RIGHT), Scale(0, most, base, top)
    parts = [_tick(x.at(tick), top - 24, base, f"{tick:+g}" if tick else "0") for tick in ticks(low, high, 8)]
    for tick in ticks(0, most, 4):
        parts.append(_text(left - 8, y.at(tick) + 5, f"{tick:,.0f}", anchor="end", size=13))
        parts.append(_line(left, y.at(tick), WIDTH - RIGHT, y.at(tick), GRID))
    parts.append(_line(x.at(0), top - 42, x.at(0), base, INK, width=1.5))
    parts.append(_text(x.at(0) + 6, top - 32, "ranked right →", size=13))
    parts.append(_text(x.at(0) - 6, top - 32, "← ranked wrong", anchor="end", size=13))
    for counts, colour, dash, opacity in (
        (movement.counts_after, last, "", 0.15),
        (movement.counts_before, first, "6 4", 0),
    ):
        parts.append(_steps(movement.edges.tolist(), counts.tolist(), x, y, colour, dash, opacity))
    parts += [
        _text((left + WIDTH - RIGHT) / 2, base + 36, "score margin (reward units)", anchor="middle"),
        _upright(18, (base + top) / 2, "held-out pairs (number)"),
        _line(left, height - 8, left + 30, height - 8, first, width=2.5, dash="6 4"),
        _text(left + 38, height - 3, f"before: {movement.before}", size=13),
        _line(left + 300, height - 8, left + 330, height - 8, last, width=2.5),
        _text(left + 338, height - 3, f"after: {movement.after}", size=13),
    ]
    said = (
        f"Margins of {movement.pairs:,} held-out pairs. Before: mean {movement.mean_before:+.3f}, "
        f"{movement.mis_ranked_before:,} ranked wrong. After: mean {movement.mean_after:+.3f}, "
        f"{movement.mis_ranked_after:,} ranked wrong."
    )
    return _drawing(height, said, parts)


def calibration_chart(results: Results) -> Markup:
    """Draw how often each model is right against how sure it is, with the diagonal."""
    height, base, left, right = 360, 300, 84, 444

    x, y = Scale(0.5, 1, left, right), Scale(0, 1, base, 20)
    parts = [_tick(x.at(tick), 20, base, f"{tick:.0%}") for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_text(left - 8, y.at(tick) + 5, f"{tick:.0%}", anchor="end", size=13))
        parts.append(_line(left, y.at(tick), right, y.at(tick), GRID))
    parts.append(_line(x.at(0.5), y.at(0.5), x.at(1), y.at(1), QUIET, dash="2 3", width=1.5))
    for place, model in enumerate(results.models):
        colour, dash = colour_of(place), dash_of(place)
        parts += _reliability(model, results.pairs, x, y, colour, dash)
        row = 40 + 26 * place
        parts.append(_line(right + 40, row, right + 70, row, colour, width=2.5, dash=dash))
        parts.append(_text(right + 78, row + 5, model.label, size=13))
    parts.append(_text((left + right) / 2, base + 36, "how sure the model is (%)", anchor="middle"))
    parts.append(_upright(18, (base + 20) / 2, "held-out pairs ranked right (%)"))
    parts.append(_text(left, base + 56, "Larger points stand for more pairs.", size=13))
    said = "; ".join(
        f"{model.label}: calibration error {model.evaluation.metrics.calibration_error:.3f}" for model in results.models
    )
    return _drawing(height, f"How often each model is right against how sure it is. {said}.", parts)


def _reliability(model: ModelResult, pairs: int, x: Scale, y: Scale, colour: str, dash: str) -> list[Markup]:
    bins = model.reliability
    points = " ".join(f"{x.at(each.confidence):.1f},{y.at(each.accuracy):.1f}" for each in bins)
    line = Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="2" stroke-dasharray="{}"/>')
    circles = [
        _circle(x.at(each.confidence), y.at(each.accuracy), 3 + 9 * float(np.sqrt(each.pairs / pairs)), colour)
        for each in bins
    ]
    return [line.format(points, colour, dash or "none"), *circles]


# --------------------------------------------------------------------------------------------------------------- pieces


def _drawing(height: float, said: str, parts: Sequence[Markup]) -> Markup:
    frame = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return frame.format(WIDTH, height, said, Markup("").join(parts))


def _interval_row(x: Scale, row: float, label: str, interval: Interval, said: str, colour: str) -> list[Markup]:
    """A label, an interval as a bar with ends, its estimate as a point with what is said of it above."""
    return [
        _text(LEFT - 12, row + 5, label, anchor="end"),
        _line(x.at(interval.low), row, x.at(interval.high), row, colour, width=3),
        _line(x.at(interval.low), row - 7, x.at(interval.low), row + 7, colour, width=2),
        _line(x.at(interval.high), row - 7, x.at(interval.high), row + 7, colour, width=2),
        _circle(x.at(interval.estimate), row, 6, colour),
        _text(x.at(interval.estimate), row - 11, said, anchor="middle", size=13),
    ]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = "") -> Markup:
    line = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="{}"{}/>')
    dashes = Markup(' stroke-dasharray="{}"').format(dash) if dash else ""
    return line.format(x1, y1, x2, y2, colour, width, dashes)


def _circle(x: float, y: float, radius: float, colour: str) -> Markup:
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="{}"/>').format(x, y, radius, colour)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 14) -> Markup:
    element = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" font-size="{}" fill="{}">{}</text>')
    return element.format(x, y, anchor, size, INK, text)


def _upright(x: float, y: float, text: str) -> Markup:
    """The title of an ordinate, read from below."""
    element = Markup(
        '<text x="{0:.1f}" y="{1:.1f}" transform="rotate(-90 {0:.1f} {1:.1f})" text-anchor="middle" font-size="14" '
        'fill="{2}">{3}</text>'
    )
    return element.format(x, y, INK, text)


def _tick(x: float, top: float, base: float, text: str) -> Markup:
    return _line(x, top, x, base, GRID) + _text(x, base + 17, text, anchor="middle", size=13)


def _steps(
    edges: Sequence[float], counts: Sequence[int], x: Scale, y: Scale, colour: str, dash: str, opacity: float
) -> Markup:
    """A histogram's outline, its area filled so far as `opacity` says."""
    corners = [(edges[0], 0.0)]
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        corners += [(left, float(count)), (right, float(count))]
    corners.append((edges[-1], 0.0))
    points = " ".join(f"{x.at(margin):.1f},{y.at(count):.1f}" for margin, count in corners)
    line = Markup(
        '<polyline points="{}" fill="{}" fill-opacity="{}" stroke="{}" stroke-width="2.5" stroke-dasharray="{}"/>'
    )
    return line.format(points, colour if opacity else "none", opacity, colour, dash or "none")
