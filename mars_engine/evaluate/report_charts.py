"""The report's charts: static SVG by matplotlib, so that the file needs nothing from elsewhere and runs nothing.

Each has a title and a description for screen readers, and never tells anything by colour alone: lines differ by dash,
points by shape or filling. Text stays text and takes its font and colour from the page; the ground is transparent, and
what is drawn is seen on a light ground and on a dark one. Equal figures give equal bytes.
"""

import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from mars_engine.evaluate.report import MapSummary
from mars_engine.evaluate.results import ModelResult, Movement, Results, signed_points
from mars_engine.evaluate.series import DASHES, RIGHT, SERIES, WRONG
from mars_engine.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = 5.0
"""Width of a chart: 360 points, about a phone's width in CSS pixels, so that text is legible there."""
SMALL = 9.0
"""Size of annotations, in points."""
QUIET = "#6b7685"
BLUE = SERIES[0]
MAP_NAMES = 8
"""Regions of a map that are named on it, the largest."""
LONGEST_LABEL = 44
"""Characters of a model's name that are drawn; the description has the whole name."""
LINES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (3, 2)),
    "dot": (0, (1, 1.5)),
    "dashdot": (0, (4, 1.5, 1, 1.5)),
    "longdash": (0, (5, 2)),
    "longdashdot": (0, (5, 2, 1, 2)),
}
"""What matplotlib calls the dashes that the app's figures have."""
STYLE = Path(__file__).with_name("report.mplstyle")


def colour_of(place: int) -> str:
    """The colour of the model at a place among those compared, as in the app."""
    return SERIES[place % len(SERIES)]


def line_of(place: int) -> Any:
    """The dash of its lines, as in the app."""
    return LINES[DASHES[place % len(DASHES)]]


def interval_chart(results: Results) -> Markup:
    """Draw each model's held-out accuracy as a point with its interval, chance as a dotted line."""
    rows: list[tuple[str, Interval]] = [(model.label, model.evaluation.accuracy) for model in results.models]
    rows.append(("longer answer wins", results.longer_wins))

    def draw(axes: "Axes") -> None:
        for place, (label, interval) in enumerate(rows):
            colour = QUIET if place == len(rows) - 1 else colour_of(place)
            _draw_interval(axes, place, label, interval, f"{interval.estimate:.1%}", colour, filled=True)
        _close_rows(axes, rows, middle=0.5, room=0.03, line=LINES["dot"])
        axes.set_xlabel("held-out pairs ranked right (dotted: chance)")
        axes.xaxis.set_major_formatter(_percent)

    said = "; ".join(f"{label}: {each.estimate:.1%}, from {each.low:.1%} to {each.high:.1%}" for label, each in rows)
    title = f"Held-out accuracy with {results.level:.0%} intervals"
    return _rendered(draw, title, f"{said}.", inches=_height_of(rows))


def difference_chart(
    rows: Sequence[tuple[str, Interval]], *, than: str, of: str = "accuracy", title: str = "Held-out accuracy"
) -> Markup:
    """Draw differences in accuracy, or of another share, as points with their intervals; there must be a row.

    A difference whose interval misses 0 is a filled blue point, the others are hollow and grey; 0 is a line.
    """

    def draw(axes: "Axes") -> None:
        for place, (label, interval) in enumerate(rows):
            is_clear = interval.excludes_zero
            value = signed_points(interval.estimate)
            _draw_interval(axes, place, label, interval, value, BLUE if is_clear else QUIET, filled=is_clear)
        _close_rows(axes, rows, middle=0.0, room=0.01, line=LINES["solid"])
        axes.set_xlabel(f"{of} less that of {_shortened(than)} (points)")
        axes.xaxis.set_major_formatter(lambda value, _: _signed(round(value * 100, 6)))

    said = "; ".join(
        f"{label}: {signed_points(each.estimate)}, from {signed_points(each.low)} to {signed_points(each.high)}"
        for label, each in rows
    )
    title = f"{title} less that of {than}, in percentage points"
    return _rendered(draw, title, f"{said}.", inches=_height_of(rows))


def win_rate_chart(lines: Sequence[tuple[str, Sequence[float], Sequence[float]]], *, way: str) -> Markup:
    """Draw each method's win rate against the reference over √KL, an even chance as a dotted line.

    Args:
        lines: label, KL in nats at each look, and win rate there; there must be one.
        way: how the policies came about.
    """

    def draw(axes: "Axes") -> None:
        axes.axhline(0.5, color=QUIET, linewidth=1.4, linestyle=LINES["dot"])
        for place, (label, kl, wins) in enumerate(lines):
            roots = np.sqrt(np.maximum(kl, 0.0))
            axes.plot(roots, wins, "o", color=colour_of(place), linestyle=line_of(place), markersize=4, label=label)
        axes.set(xlabel="√KL from the reference (√nats)", ylabel="win rate (dotted: even)")
        axes.yaxis.set_major_formatter(_percent)
        _draw_legend(axes)

    said = "; ".join(f"{label}: {wins[-1]:.1%} at {kl[-1]:.3g} nats" for label, kl, wins in lines)
    return _rendered(draw, f"Win rate over √KL, {way}", f"{said}.", inches=3.6 + 0.2 * len(lines))


def map_chart(shown: MapSummary) -> Markup:
    """Draw a map with its regions named: a dot for a pair ranked right, a cross for one ranked wrong."""
    margins = shown.margins
    kinds = (
        ("ranked right or a tie", margins >= 0, RIGHT, "o", 0.55),
        ("ranked wrong", margins < 0, WRONG, "x", 1.0),
        ("no margin yet", np.isnan(margins), QUIET, ".", 0.5),
    )

    def draw(axes: "Axes") -> None:
        for label, some, colour, marker, opacity in kinds:
            if some.any():
                axes.scatter(shown.x[some], shown.y[some], s=14, c=colour, marker=marker, alpha=opacity, label=label)
        for region in shown.regions[:MAP_NAMES]:
            axes.text(region.x, region.y, _shortened(", ".join(region.words)), ha="center", size=SMALL, weight="bold")
        axes.set(xticks=[], yticks=[])
        axes.spines["bottom"].set_visible(False)
        axes.grid(visible=False)
        _draw_legend(axes)

    said = "; ".join(
        f"around {', '.join(region.words)}: {region.wrong:,} of {region.pairs:,} pairs ranked wrong"
        for region in shown.regions[:MAP_NAMES]
    )
    return _rendered(draw, f"Map of {shown.pairs:,} pairs by their {shown.kind}", f"{said}.", inches=4.0)


def wrong_label_chart(rows: Sequence[tuple[str, float, float]], *, than: str) -> Markup:
    """Draw a point a method: the share of its training loss that wrong labels have, and what its accuracy differs by.

    Args:
        rows: label, share of the loss, and accuracy less the baseline's; there must be one.
        than: the baseline.
    """

    def draw(axes: "Axes") -> None:
        axes.axhline(0, color=QUIET, linewidth=1.4)
        axes.scatter([share for _, share, _ in rows], [better for *_, better in rows], s=36, color=BLUE, zorder=3)
        for label, share, better in rows:
            axes.annotate(_shortened(label), (share, better), (4, 4), textcoords="offset points", size=SMALL)
        axes.set_xlabel("share of the training loss that wrong labels have")
        axes.set_ylabel(f"accuracy less that of {_shortened(than)} (points)")
        axes.xaxis.set_major_formatter(_percent)
        axes.yaxis.set_major_formatter(lambda value, _: _signed(round(value * 100, 6)))
        axes.margins(x=0.2)

    said = "; ".join(f"{label}: {share:.1%} of the loss, {signed_points(better)}" for label, share, better in rows)
    return _rendered(
        draw, f"What wrong labels have of the loss, and accuracy less that of {than}", f"{said}.", inches=3.6
    )


def movement_chart(movement: Movement, *, models: int) -> Markup:
    """Draw the margins of the same pairs before (dashed) and after (solid, filled) over the same bins.

    Args:
        movement: from the first to the last of the models compared.
        models: how many are compared, so that both have their colours.
    """
    first, last = colour_of(0), colour_of(models - 1)
    edges, before, after = movement.edges, movement.counts_before, movement.counts_after
    top = max(1, int(before.max()), int(after.max())) * 1.05

    def draw(axes: "Axes") -> None:
        axes.axvline(0, color=QUIET, linewidth=1.4)
        axes.stairs(after, edges, fill=True, color=last, alpha=0.15)
        dash = LINES["dash"]
        axes.stairs(
            before, edges, color=first, linewidth=1.8, linestyle=dash, zorder=3, label=f"before: {movement.before}"
        )
        axes.stairs(after, edges, color=last, linewidth=1.8, label=f"after: {movement.after}")
        axes.set(xlim=(float(edges[0]), float(edges[-1])), ylim=(0, top))
        for side, text, room in (("left", "ranked right →", 4), ("right", "← ranked wrong", -4)):
            axes.annotate(text, (0, top), (room, 3), textcoords="offset points", ha=side, size=SMALL)
        axes.set(xlabel="score margin (reward units)", ylabel="held-out pairs (number)")
        axes.xaxis.set_major_formatter(lambda value, _: _signed(value))
        axes.locator_params("y", integer=True)
        _draw_legend(axes, above=1.1)

    said = (
        f"Before, {movement.before}: mean {movement.mean_before:+.3f}, {movement.mis_ranked_before:,} ranked wrong. "
        f"After, {movement.after}: mean {movement.mean_after:+.3f}, {movement.mis_ranked_after:,} ranked wrong."
    )
    return _rendered(draw, f"Margins of {movement.pairs:,} held-out pairs, before and after", said, inches=3.3)


def calibration_chart(results: Results) -> Markup:
    """Draw how often each model is right against how sure it is, with the diagonal."""

    def draw(axes: "Axes") -> None:
        axes.plot([0.5, 1], [0.5, 1], color=QUIET, linewidth=1.2, linestyle=LINES["dot"])
        for place, model in enumerate(results.models):
            _draw_reliability(axes, place, model, results.pairs)
        axes.set(xlim=(0.49, 1.01), ylim=(-0.03, 1.03))
        axes.set(xlabel="how sure the model is (larger points: more pairs)", ylabel="held-out pairs ranked right")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_percent)
        _draw_legend(axes)

    said = "; ".join(
        f"{model.label}: calibration error {model.evaluation.metrics.calibration_error:.3f}" for model in results.models
    )
    return _rendered(draw, "How often each model is right against how sure it is", f"{said}.", inches=4.0)


# --------------------------------------------------------------------------------------------------------------- pieces


def _draw_interval(
    axes: "Axes", place: int, label: str, interval: Interval, said: str, colour: str, *, filled: bool
) -> None:
    """Draw a row: the label and what is said of the estimate, below them the interval with the estimate on it."""
    around = [[interval.estimate - interval.low], [interval.high - interval.estimate]]
    axes.errorbar(
        [interval.estimate],
        [place + 0.25],
        xerr=around,
        color=colour,
        fmt="o",
        markersize=6,
        markerfacecolor=colour if filled else "none",
        capsize=3,
        linewidth=1.8,
    )
    beside = axes.get_yaxis_transform()
    axes.text(0, place - 0.12, _shortened(label), transform=beside, va="center")
    axes.text(1, place - 0.12, said, transform=beside, va="center", ha="right", weight="bold")


def _close_rows(axes: "Axes", rows: Sequence[tuple[str, Interval]], *, middle: float, room: float, line: Any) -> None:
    """Draw what the rows are compared with, beside the intervals and not through the labels, and set the limits."""
    places = np.arange(len(rows), dtype=np.float64)
    around = (places + 0.02, places + 0.48)
    axes.vlines(np.full_like(places, middle), *around, color=QUIET, linewidth=1.4, linestyle=line, zorder=1)
    low = min(middle, *(interval.low for _, interval in rows)) - room
    high = max(middle, *(interval.high for _, interval in rows)) + room
    axes.set(xlim=(low, high), ylim=(len(rows) - 0.4, -0.5), yticks=[])
    axes.grid(visible=False)


def _draw_reliability(axes: "Axes", place: int, model: ModelResult, pairs: int) -> None:
    sure, right = [each.confidence for each in model.reliability], [each.accuracy for each in model.reliability]
    sizes = [(4 + 9 * float(np.sqrt(each.pairs / pairs))) ** 2 for each in model.reliability]
    axes.plot(sure, right, color=colour_of(place), linestyle=line_of(place), linewidth=1.6, label=model.label)
    axes.scatter(sure, right, s=sizes, color=colour_of(place), linewidths=0, zorder=3)


def _draw_legend(axes: "Axes", *, above: float = 1.03) -> None:
    """Draw the legend over the axes, from so many of their heights on."""
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, [_shortened(label) for label in labels], loc="lower left", bbox_to_anchor=(0, above))


def _height_of(rows: Sequence[Any]) -> float:
    """Return the height of a chart of so many rows, in inches."""
    return 0.42 * len(rows) + 0.7


def _percent(value: float, _: float) -> str:
    return f"{value:.0%}"


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _shortened(label: str) -> str:
    label = _printable(label)
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


# ----------------------------------------------------------------------------------------------------------- rendering


def _rendered(draw: Callable[["Axes"], None], title: str, said: str, *, inches: float) -> Markup:
    """Return a chart as SVG, as it stands in a page.

    Args:
        draw: draws it.
        title: says what it shows, to a screen reader and as its tooltip.
        said: says in words what it shows.
        inches: its height.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its fonts
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    title, said = _printable(title), _printable(said)
    file = io.StringIO()
    nameless = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": title + said}, STYLE), warnings.catch_warnings():
        # The reader's fonts draw what matplotlib's has no glyph for; only the room that it takes is then guessed.
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)
        figure = Figure(figsize=(INCHES, inches), layout="constrained")
        draw(figure.subplots())
        figure.savefig(file, format="svg", transparent=True, metadata=nameless)
    return Markup(ElementTree.tostring(_titled(file.getvalue(), title, said), encoding="unicode"))  # noqa: S704 (escaped)


def _titled(svg: str, title: str, said: str) -> ElementTree.Element:
    """Return an SVG with a title and a description, as wide as the page lets it, and without what others have too."""
    root = ElementTree.fromstring(svg)  # noqa: S314 (our own)
    for element in root.iter():
        element.tag = _plain_name(element.tag)  # within HTML no namespace is declared
        element.attrib = {_plain_name(name): value for name, value in element.attrib.items()}
        if element.tag == "g":
            element.attrib.pop("id", None)
    for definitions in root.iter("defs"):
        for style in definitions.findall("style"):  # it would hold for the whole page
            definitions.remove(style)
    for size in ("width", "height"):
        del root.attrib[size]
    name = hashlib.sha256(f"{title}\n{said}".encode()).hexdigest()[:10]
    root.set("role", "img")
    root.set("aria-labelledby", f"title-{name} desc-{name}")
    for place, (tag, text) in enumerate((("title", title), ("desc", said))):
        element = ElementTree.Element(tag, id=f"{tag}-{name}")
        element.text = text
        root.insert(place, element)
    return root


def _plain_name(name: str) -> str:
    return name.rpartition("}")[2]
