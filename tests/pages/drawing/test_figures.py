"""What figures look like: colours that are seen on both grounds, and limits that their quantities have."""

import re
import tomllib

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import ImageColor

from mars_engine.core.shipped import shipped
from mars_engine.evaluate import report_charts, series
from mars_engine.explore import colours
from mars_engine.explore.plotly_figures import add_points, reach_of
from mars_engine.jobs.run_history import Curves
from pages.parts.drawing import charts, theme
from pages.parts.drawing.charts import height_of_rows, styled
from pages.parts.drawing.numbers import change_of, true_minus
from pages.parts.drawing.tables import formatted
from pages.parts.explore.density import _margin_colours
from pages.parts.train.run_panel import _chart, _step_chart

LEAST_CONTRAST = 3.0
"""What WCAG 2 asks of graphics."""
LEAST_OF_TEXT = 4.5
"""And of text."""


def luminance(colour: tuple[int, ...]) -> float:
    channels = np.array(colour[:3]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", colours.GROUND.values(), ids=colours.GROUND.keys())
def test_every_margin_and_every_series_is_seen_on_both_grounds(ground):
    page = ImageColor.getrgb(ground)
    for colour in _margin_colours(np.linspace(-1, 1, 41, dtype=np.float32), 1):
        assert contrast(colour, page) >= LEAST_CONTRAST, colour
    for colour in colours.SERIES:
        assert contrast(ImageColor.getrgb(colour), page) >= LEAST_CONTRAST, colour


def test_margins_of_both_signs_differ_right_beside_zero():
    below, above = _margin_colours(np.float32([-0.06, 0.06]), 1)
    assert below[0] - below[2] > 50  # more red than blue
    assert above[2] - above[0] > 40


def test_a_model_has_the_same_colour_and_dash_in_the_app_and_in_the_report():
    assert colours.SERIES is series.SERIES
    assert [report_charts.colour_of(place) for place in range(len(colours.SERIES))] == list(colours.SERIES)
    assert report_charts.line_of(0) == "-"
    assert set(report_charts.LINES) == set(colours.DASHES)


@pytest.mark.parametrize("ground", colours.GROUND.values(), ids=colours.GROUND.keys())
def test_lines_of_the_report_are_seen_on_both_grounds(ground):
    assert contrast(ImageColor.getrgb(report_charts.QUIET), ImageColor.getrgb(ground)) >= LEAST_CONTRAST


def test_points_of_either_rank_differ_in_shape_and_those_without_a_margin_are_rings():
    figure = go.Figure()
    margins = np.array([-0.5, 0.0, 0.5, np.nan], dtype=np.float32)
    add_points(figure, margins, margins, margins, size=6, hover="", theme="dark")
    drawn = {trace.marker.symbol: len(trace.x) for trace in figure.data if trace.x[0] is not None}
    assert drawn == {"x": 1, "diamond": 1, "circle": 1, "circle-open": 1}
    assert all(trace.marker.line.width for trace in figure.data if trace.x[0] is not None)
    assert reach_of(margins[3:]) == 1.0


@pytest.mark.parametrize("values", [[1.0], [0.0], [0.97, 1.0], [0.5]])
def test_accuracy_ends_where_shares_do_and_a_lone_dot_has_room(values):
    points = {"held-out accuracy": list(enumerate(values)), "training accuracy": list(enumerate(values))}
    figures = Curves(own=points, before={}, by_step=points)
    for figure in (
        _chart(figures, "share of pairs", ("held-out accuracy",)),
        _step_chart(figures, "share", ("training accuracy",)),
    ):
        low, high = figure.layout.yaxis.range
        assert 0 <= low <= min(values)
        assert max(values) <= high <= 1
        assert high - low >= 0.03


def test_a_lone_margin_stands_in_the_middle():
    figures = Curves(own={"mean held-out margin": [(0, -0.4)]}, before={}, by_step={})
    low, high = _chart(figures, "reward units", ("mean held-out margin",)).layout.yaxis.range
    assert (low + high) / 2 == pytest.approx(-0.4)


def test_numbers_have_a_minus_sign_and_words_keep_their_hyphens():
    assert true_minus("held-out -0.14, 3-4, UTF-8 (-2 to -.5)") == "held-out −0.14, 3-4, UTF-8 (−2 to −.5)"


def test_a_change_says_its_direction_without_a_hyphen():
    worse = change_of("-0.7 points", -0.7, good_when_higher=True)
    assert worse == {"delta": "−0.7 points", "delta_color": "red", "delta_arrow": "down"}
    assert change_of("+1", 1, good_when_higher=False)["delta_color"] == "red"
    assert change_of("+1", 1, good_when_higher=None)["delta_arrow"] == "off"


def test_tables_write_a_minus_sign_and_keep_numbers():
    table = formatted({"margin": [-0.25, float("nan")], "text": ["-a", "b"]}, {"margin": "+.2f", "absent": ".1f"})
    assert table.data["margin"].dtype == np.float64
    assert "−0.25" in table.to_html()
    assert ">-a<" in table.to_html()


@pytest.mark.parametrize("seen", ["light", "dark"])
def test_axes_legend_and_scale_are_readable_on_the_pages_grounds(seen, monkeypatch):
    monkeypatch.setattr(theme, "theme", lambda: seen)
    monkeypatch.setattr(charts, "presenting", lambda: False)
    layout = styled(go.Figure(), x="margin", y="pairs").layout
    told = [
        *(axis.tickfont.color for axis in (layout.xaxis, layout.yaxis)),
        *(axis.title.font.color for axis in (layout.xaxis, layout.yaxis)),
        layout.legend.font.color,
        layout.font.color,
        layout.coloraxis.colorbar.tickfont.color,
        layout.coloraxis.colorbar.title.font.color,
    ]
    assert set(told) == {colours.AXIS_INK[seen]}
    settings = tomllib.loads((shipped("app.py").parent / ".streamlit" / "config.toml").read_text("utf-8"))
    grounds = [settings["theme"][seen][name] for name in ("backgroundColor", "secondaryBackgroundColor")]
    for page in map(ImageColor.getrgb, grounds):
        assert contrast(ImageColor.getrgb(colours.AXIS_INK[seen]), page) >= LEAST_OF_TEXT
        assert contrast(ImageColor.getrgb(colours.INK[seen]), page) >= LEAST_OF_TEXT


def test_pages_take_heights_from_one_place_and_set_no_margins():
    folder = shipped("app.py").parent / "pages"
    files = [path for path in folder.rglob("*.py") if path.name != "charts.py"]
    assert len(files) > 40
    for path in files:
        text = path.read_text("utf-8")
        assert not re.search(r"styled\([^)]*height=\d", text), path
        assert not re.search(r"margin=\{", text), path
        assert "st.plotly_chart" not in text, path


def test_a_row_has_the_same_height_in_each_figure():
    assert height_of_rows(5) - height_of_rows(4) == charts.ROW["bar"]
    assert height_of_rows(4, legend=True) - height_of_rows(4) == charts.MARGIN_OF_LEGEND
