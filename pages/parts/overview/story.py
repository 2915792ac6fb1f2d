"""The Overview's story: what is unsure, what was done about it, and what that gained as far as it is shown."""

import plotly.graph_objects as go
import streamlit as st

from mars_engine.data.pair_index import PairIndex
from mars_engine.evaluate.overview import Gain, say_gain, tell_story
from mars_engine.evaluate.results import signed_nats, signed_points
from mars_engine.explore.colours import RIGHT, WRONG
from mars_engine.service.desk import Desk
from mars_engine.stats.intervals import Interval
from pages.parts.drawing import charts

UNTOLD = "#767676"
"""Of an interval that has 0 in it: neither better nor worse is shown."""


def draw_story(desk: Desk, index: PairIndex) -> None:
    """Say in a few sentences where the workspace stands, with the interval of what was gained drawn under them."""
    gain = say_gain(desk.headline())
    told = tell_story(index)
    with st.container(border=True, gap="small"):
        st.text(" ".join(told))
        if gain is None:
            return
        st.subheader(gain.title, anchor=False)
        if gain.difference is not None:
            st.text(f"On held-out pairs, against the first model; {gain.difference.level:.0%} interval.")
            charts.draw(_interval(gain, gain.difference), key="gain")
        st.text(gain.words[0])
        if gain.last_step:
            st.text(gain.last_step)
        if len(gain.words) > 1:
            with st.expander("In figures"):
                for sentence in gain.words[1:]:
                    st.text(sentence)


def _interval(gain: Gain, found: Interval) -> go.Figure:
    """The difference as a point with its interval, beside a line at 0."""
    is_accuracy = gain.measure == "accuracy"
    scale = 100 if is_accuracy else 1
    low, estimate, high = (each * scale for each in (found.low, found.estimate, found.high))
    is_better = (estimate > 0) == is_accuracy
    colour = UNTOLD if not gain.is_shown else RIGHT if is_better else WRONG
    said = signed_points(found.estimate) if is_accuracy else signed_nats(found.estimate)
    figure = go.Figure()
    figure.add_scatter(
        x=[low, high], y=[0, 0], mode="lines", line={"color": colour, "width": 6}, hoverinfo="skip", showlegend=False
    )
    figure.add_scatter(
        x=[estimate],
        y=[0],
        mode="markers+text",
        text=[f"<b>{said}</b>"],
        textposition="top center",
        textfont={"size": 22},
        marker={"color": colour, "size": 16},
        hovertemplate=f"{low:+.3f} to {high:+.3f}<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(0, line={"dash": "dash", "width": 1.5, "color": "gray"})
    unit = "points" if is_accuracy else "nats; less is better"
    title = f"change of {gain.measure} ({unit})"
    figure = charts.styled(figure, x=title, y="", height=charts.HEIGHTS["strip"], legend=False)
    reach = max(abs(low), abs(high)) * 1.25 or 1.0
    figure.update_xaxes(range=[-reach, reach])
    left, right = ("worse", "better") if is_accuracy else ("better", "worse")
    figure.add_annotation(x=-reach, y=1.3, xanchor="left", showarrow=False, text=f"← {left}")
    figure.add_annotation(x=reach, y=1.3, xanchor="right", showarrow=False, text=f"{right} →")
    figure.update_yaxes(visible=False, range=[-0.6, 1.6], fixedrange=True)
    return figure
