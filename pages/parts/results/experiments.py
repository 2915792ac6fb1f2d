"""The Results page's section on experiments: the newest one's verdicts, table, intervals and files."""

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from mars_engine.experiments.plan import BASELINES, MATCHING_NOTES, METHOD_NOTES, Method
from mars_engine.experiments.record import REPORT_FILE, RESULTS_FILE, StoredExperiment, newest_experiment
from mars_engine.experiments.results import (
    Comparison,
    Difference,
    ExperimentResults,
    MethodResult,
    points,
    say_how_many,
    wrong_label_rows,
)
from mars_engine.explore.colours import SERIES
from mars_engine.service.desk import Desk
from pages.parts.drawing import charts
from pages.parts.drawing.tables import draw_table
from pages.parts.frame.page import empty_state, presenting
from pages.parts.results.under_way import draw_under_way, run_under_way

PRESENTED_MATCHING = "steps"
COUNTS = ("steps", "training pairs", "wrong labels' share of the loss", "tokens written", "seconds to train")
ROW_SHIFT = 0.16
"""Between a row's middle and each of its two intervals, in rows."""
NAME_HEIGHT, CLOSE = 15, 0.1
"""Pixels of a point's name, and the share of a figure's width within which names stand in each other's way."""


def draw_experiments(desk: Desk) -> None:
    """Draw the newest experiment, or say how to run one; an audience is not told how."""
    experiment = newest_experiment(desk.store)
    under_way = None if presenting() else run_under_way(desk, "experiment")
    if under_way is not None:
        st.subheader("Experiments", anchor=False)
        draw_under_way(desk, under_way, what="An experiment")
    if experiment is None:
        if under_way is None and not presenting():
            st.subheader("Experiments", anchor=False)
            empty_state(
                "No experiment has been run yet.",
                to_do="Run mars experiment PLAN in a terminal: it compares MARS with fourteen other methods. "
                "data/experiments/baselines.toml is a plan to begin with.",
            )
        return
    if under_way is None:
        st.subheader("Experiments", anchor=False)
    results = experiment.results
    made = experiment.record.created_at.strftime("%Y-%m-%d")
    st.text(f"{results.name}, {made}: {results.finished:,} of {results.cells:,} cells are finished.")
    if results.trained:
        st.text(f"Trained: {results.trained}.")
    st.text(say_how_many(results))
    for comparison in _chosen(results):
        _draw_comparison(comparison, results)
    if not presenting():
        _draw_notes(results)
        _draw_files(desk, experiment)


def _chosen(results: ExperimentResults) -> Sequence[Comparison]:
    """The comparison that is asked for; for an audience each dataset's at equal steps, where there are any."""
    if presenting():
        steps = [each for each in results.comparisons if each.matching == PRESENTED_MATCHING]
        return steps or results.comparisons
    labels = [
        f"{each.data}, equal {each.matching}" if each.matching != "convex" else f"{each.data}, exact fit"
        for each in results.comparisons
    ]
    label = st.selectbox("Data and what is held equal", labels, key="experiment-comparison")
    return [results.comparisons[labels.index(label)]]


def _draw_comparison(comparison: Comparison, results: ExperimentResults) -> None:
    st.text(
        f"{comparison.data}: {len(comparison.seeds)} seeds × {comparison.heldout_pairs:,} held-out pairs of "
        f"{comparison.heldout_prompts:,} prompts in all; {MATCHING_NOTES[comparison.matching]}."
    )
    _draw_forest(comparison)
    less = [f"less {baseline} (points)" for baseline in BASELINES]
    numbers = ("accuracy", "sd over seeds", *less, *COUNTS)
    verdicts = [f"verdict against {baseline}" for baseline in BASELINES]
    columns = ("method", *numbers[:2], less[0], verdicts[0], less[1], verdicts[1], *COUNTS)
    label = f"Methods on {comparison.data}, {comparison.matching}, {results.level:.0%} intervals"
    draw_table(label, columns, [_row(result) for result in comparison.methods], numbers=numbers)
    _draw_wrong_labels(comparison)


def _row(result: MethodResult) -> tuple[str, ...]:
    differences = [cell for baseline in BASELINES for cell in _difference_cells(result.against(baseline))]
    return (
        result.method,
        f"{result.accuracy.mean:.1%}",
        f"{result.accuracy.deviation * 100:.1f}",
        *differences,
        f"{result.steps:,.0f}",
        f"{result.training_pairs:,.0f}",
        f"{result.wrong_loss:.1%}",
        f"{result.generation_tokens:,.0f}",
        f"{result.training_seconds:.3f}",
    )


def _difference_cells(difference: Difference | None) -> tuple[str, str]:
    if difference is None:
        return "–", "–"
    each = difference.interval
    return f"{points(each.estimate)} ({points(each.low)} to {points(each.high)})", difference.verdict


def _draw_forest(comparison: Comparison) -> None:
    """A row a method: its difference from each baseline as a point with its interval, no difference as a line."""
    methods = [result.method for result in comparison.methods]
    figure = go.Figure()
    for place, baseline in enumerate(BASELINES):
        found = _differences(comparison, baseline)
        figure.add_scatter(
            x=[each.interval.estimate * 100 for _, each in found],
            y=[methods.index(method) + (-ROW_SHIFT, ROW_SHIFT)[place] for method, _ in found],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(each.interval.high - each.interval.estimate) * 100 for _, each in found],
                "arrayminus": [(each.interval.estimate - each.interval.low) * 100 for _, each in found],
                "thickness": 2,
                "width": 5,
            },
            mode="markers",
            name=f"less {baseline}",
            marker={"size": 10, "color": SERIES[place], "symbol": ("circle", "diamond")[place]},
            customdata=[(method, each.verdict) for method, each in found],
            hovertemplate=f"%{{customdata[0]}} less {baseline}<br>%{{x:+.2f}}: %{{customdata[1]}}<extra></extra>",
        )
    figure.add_vline(0, line={"width": 1.5, "color": "gray"})
    height = charts.height_of_rows(len(methods), row=charts.ROW["marks"], legend=True)
    shown = charts.styled(figure, x="difference in held-out accuracy (percentage points)", y="", height=height)
    shown.update_yaxes(tickvals=list(range(len(methods))), ticktext=methods, autorange="reversed", zeroline=False)
    charts.draw(shown, key=f"forest {comparison.data} {comparison.matching}")


def _draw_wrong_labels(comparison: Comparison) -> None:
    """A mark a method: what wrong labels have of its training loss, and its accuracy less that of 'none'."""
    rows = wrong_label_rows(comparison)
    if not rows:
        return
    figure = go.Figure()
    figure.add_scatter(
        x=[share * 100 for _, share, _ in rows],
        y=[better * 100 for *_, better in rows],
        text=[method for method, *_ in rows],
        mode="markers",
        marker={"size": 10, "color": SERIES[0]},
        hovertemplate="%{text}<br>%{x:.1f}% of the loss, %{y:+.2f} points<extra></extra>",
        cliponaxis=False,
    )
    _name_points(figure, rows)
    figure.add_hline(0, line={"width": 1.5, "color": "gray"})
    label = "share of the training loss that wrong labels have (%)"
    st.text("What wrong labels have of each method's training loss, beside its accuracy less that of none.")
    charts.draw(
        charts.styled(figure, x=label, y="less none (points)", legend=False),
        key=f"wrong labels {comparison.data} {comparison.matching}",
    )


def _name_points(figure: go.Figure, rows: Sequence[tuple[Method, float, float]]) -> None:
    """Write each method beside its point; names of points that stand close are moved apart, with a line to them."""
    highest, lowest = (end * 100 for end in (max(y for *_, y in rows), min(y for *_, y in rows)))
    pad = 0.1 * (highest - lowest) or 1.0
    figure.update_yaxes(range=[lowest - pad, highest + pad])
    pixels = (charts.HEIGHTS["usual"] - charts.HEIGHT_OF_AXIS) / (highest - lowest + 2 * pad)
    width = max(x for _, x, _ in rows) - min(x for _, x, _ in rows)
    columns: list[list[tuple[Method, float, float]]] = []
    for row in sorted(rows, key=lambda row: row[1]):
        if columns and row[1] - columns[-1][0][1] <= CLOSE * width:
            columns[-1].append(row)
        else:
            columns.append([row])
    for column in columns:
        stacked = sorted(column, key=lambda row: row[2])
        heights = moved_apart([y * 100 * pixels for *_, y in stacked], NAME_HEIGHT)
        for (method, x, y), height in zip(stacked, heights, strict=True):
            figure.add_annotation(
                x=x * 100,
                y=y * 100,
                ax=30,
                ay=y * 100 * pixels - height,
                text=method,
                xanchor="left",
                standoff=6,
                arrowhead=0,
                arrowwidth=1,
                arrowcolor="gray",
            )


def moved_apart(heights: Sequence[float], least: float) -> list[float]:
    """Return rising heights for an experiment's method names, moved about their middle where closer than `least`."""
    blocks: list[list[float]] = []  # of each: the sum of its heights, each less its place in the block, and how many
    for height in heights:
        blocks.append([height, 1])
        while len(blocks) > 1:
            (below, many), (above, more) = blocks[-2:]
            if above / more - below / many >= least * many:
                break
            blocks[-2:] = [[below + above - least * many * more, many + more]]
    return [total / count + least * place for total, count in blocks for place in range(int(count))]


def _differences(comparison: Comparison, baseline: Method) -> list[tuple[Method, Difference]]:
    return [(result.method, found) for result in comparison.methods if (found := result.against(baseline)) is not None]


def _draw_notes(results: ExperimentResults) -> None:
    with st.expander("What the methods are"):
        for result in results.comparisons[0].methods:
            st.text(f"{result.method}: {METHOD_NOTES[result.method]}")
        st.text("“No difference shown” means that the interval includes 0, not that the methods are equal.")


def _draw_files(desk: Desk, experiment: StoredExperiment) -> None:
    offers = (
        (REPORT_FILE, "Experiment (one HTML file)", "text/html", ":material/description:"),
        (RESULTS_FILE, "Experiment (CSV)", "text/csv", ":material/table:"),
    )
    with st.container(horizontal=True):
        for name, label, mime, icon in offers:
            content = experiment.file(desk.root, name)
            if content is None:
                st.text(f"{name} is not in {experiment.record.artifact} any more: --report-only writes it again.")
                continue
            st.download_button(
                label, data=content, file_name=f"mars-experiment-{name}", mime=mime, on_click="ignore", icon=icon
            )
