"""The figures of Present that no other page has: the gain with its interval, and where the machine's time went."""

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from mars_engine.evaluate.costs import MachineTime
from mars_engine.evaluate.heldout import Comparison
from mars_engine.explore.colours import SERIES
from pages.parts.drawing.theme import ground

NOT_SHOWN = "gray"
"""Of a difference whose interval covers 0; its point is hollow."""
KINDS_DRAWN = 8


def gain_figure(comparisons: Sequence[Comparison]) -> go.Figure:
    """Return Present's gain: each difference in held-out accuracy as a point with its interval, in percentage points.

    One whose interval misses 0 is a filled point; the others are hollow and grey, and say that no difference is shown.
    """
    figure = go.Figure()
    for place, each in enumerate(comparisons):
        difference = each.difference
        shown = difference.excludes_zero
        colour = SERIES[0] if shown else NOT_SHOWN
        figure.add_scatter(
            x=[difference.estimate * 100],
            y=[place],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(difference.high - difference.estimate) * 100],
                "arrayminus": [(difference.estimate - difference.low) * 100],
                "thickness": 5,
                "width": 12,
                "color": colour,
            },
            mode="markers",
            marker={
                "size": 22,
                "color": colour,
                "symbol": "circle" if shown else "circle-open",
                "line": {"width": 4, "color": colour},
            },
            hovertemplate=f"%{{x:.1f}} points: {escape(each.verdict)}<extra></extra>",
        )
        figure.add_annotation(
            x=0.5,
            xref="paper",
            y=place,
            yshift=46,
            showarrow=False,
            bgcolor=ground(),
            text=f"{escape(f'{each.first} − {each.second}:')}<br>{escape(each.verdict)}",
        )
    figure.add_vline(0, line={"width": 2, "color": "gray", "dash": "dot"}, layer="below")
    reach = 1.25 * max(abs(end) * 100 for each in comparisons for end in (each.difference.low, each.difference.high))
    figure.update_xaxes(range=[-max(reach, 1), max(reach, 1)])
    figure.update_yaxes(showticklabels=False, showgrid=False, range=[len(comparisons) - 0.4, -0.8])
    return figure


def machine_figure(kinds: Sequence[MachineTime]) -> go.Figure:
    """Return the minutes that runs took, a bar a kind, the longest on top; the many short ones are put together."""
    rows = [(each.kind, each.seconds / 60, each.runs) for each in kinds[:KINDS_DRAWN]]
    if rest := kinds[KINDS_DRAWN:]:
        rows.append(("others", sum(each.seconds for each in rest) / 60, sum(each.runs for each in rest)))
    figure = go.Figure()
    figure.add_bar(
        x=[minutes for _, minutes, _ in rows],
        y=[escape(kind) for kind, _, _ in rows],
        orientation="h",
        marker={"color": SERIES[0]},
        customdata=[runs for _, _, runs in rows],
        text=[f"{minutes:,.1f}" for _, minutes, _ in rows],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} minutes in %{customdata:,} runs<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed")
    return figure
