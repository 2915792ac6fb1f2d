"""Groups of points in Explore's figures: told apart by shape as well as by colour."""

import numpy as np
import plotly.graph_objects as go

from mars_engine.explore.shades import MOST_GROUPS, OTHERS
from pages.parts.explore.groups import GROUP_SYMBOLS, add_groups


def test_groups_differ_in_shape_as_well_as_in_colour_and_their_names_are_escaped():
    figure = go.Figure()
    x = np.arange(6, dtype=np.float32)
    names = ("<b>one</b>", "two", OTHERS)
    add_groups(figure, x, x, np.arange(6) % 3, names, size=6, hover="", theme="light", customdata=np.arange(6))
    assert [trace.name for trace in figure.data] == ["&lt;b&gt;one&lt;/b&gt;", "two", OTHERS]
    assert (
        len({trace.marker.color for trace in figure.data}) == len({trace.marker.symbol for trace in figure.data}) == 3
    )
    assert [trace.customdata.tolist() for trace in figure.data] == [[0, 3], [1, 4], [2, 5]]
    assert len(GROUP_SYMBOLS) >= MOST_GROUPS
