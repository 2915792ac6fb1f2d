"""Training dynamics: the pairs of a training on its map, and those that it never learned, forgot or wavered on."""

import io
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from mars_engine.core.records import IntArray, ModelRecord
from mars_engine.data.pair_index import DECISION_CODES
from mars_engine.explore.colours import MARGIN_SCALE, RIGHT, WRONG
from mars_engine.explore.plotly_figures import Band, add_band, scale, size_for
from mars_engine.reward_models.training_map import (
    HOW_TO_KEEP,
    TELLING,
    TrainingMap,
    map_model,
    mapped_models,
    summarize_map,
    write_map,
)
from mars_engine.service.desk import Desk
from pages.parts.drawing import charts
from pages.parts.drawing.margin_points import label
from pages.parts.drawing.theme import theme
from pages.parts.explore.filters import NAMES
from pages.parts.frame.page import presenting
from pages.parts.results.pairs import choose, draw_pairs, rows_shown

TRAINED, LIST = "trained", "list"
"""Names in the query parameters of the model whose training is shown, and of the list of its pairs."""

NEVER = Band("right after no epoch", "x", WRONG)
SOME = Band("right after some", "diamond", MARGIN_SCALE[len(MARGIN_SCALE) // 2][1])
EVERY = Band("right after every epoch", "circle", RIGHT)

CORNERS = (
    (0.01, 0.99, "easy to learn", "left", "top"),
    (0.99, 0.5, "ambiguous", "right", "middle"),
    (0.01, 0.01, "hard to learn", "left", "bottom"),
)
"""Where the corners' names stand, and by which of their sides."""
BAR_BELOW = {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0.5, "len": 0.6}
"""Where the scale of colours stands: beside the map it would take a third of a small screen."""

FORMATS = {"confidence": ".1%", "variability": ".3f", "right epochs": ".0f", "forgotten": ".0f"}
HELPS = {
    "confidence": "Mean over the epochs of the probability that the model gives to the label it was trained on.",
    "variability": "Standard deviation of that probability over the epochs.",
    "right epochs": "After how many epochs the pair was ranked right; a tie counts half.",
    "forgotten": "How often it was ranked right after an epoch and not after the next.",
    "label": "What people or a policy have decided of the label, before the training or since.",
}


@st.cache_resource(max_entries=4, show_spinner="Reading margins after each epoch")
def _map(root: str, revision: str, model_id: str, _desk: Desk, _model: ModelRecord) -> TrainingMap:  # noqa: ARG001
    return map_model(_desk.store, _model)


def draw_training_dynamics(desk: Desk, *, is_trained: bool) -> None:
    """Show the map of a training; where none kept its margins, how to have them kept, once a model is there."""
    models = mapped_models(desk.store)
    if not models:
        if is_trained and not presenting():
            st.subheader("Training dynamics", anchor=False)
            st.text(f"To see which pairs a training never learned or forgot, {HOW_TO_KEEP}.")
        return
    st.subheader("Training dynamics", anchor=False)
    found = _choose_map(desk, models)
    of_each = "1 epoch" if found.epochs == 1 else f"each of {found.epochs:,} epochs"
    st.text(
        f"{found.model.label}: its {len(found):,} base pairs by their margins after {of_each}. Confidence is the "
        "probability that the model gives to the label it was trained on. Pairs that stay low are hard to learn, and "
        "often mislabelled; those that vary much are ambiguous."
    )
    _draw_counts(found)
    _draw_map(found)
    _draw_list(desk, found)


def _choose_map(desk: Desk, models: Sequence[ModelRecord]) -> TrainingMap:
    by_id = {model.id: model for model in models}
    model_id = models[-1].id
    if len(models) > 1:
        names = {model.id: model.label for model in reversed(models)}
        model_id = choose("Training of", names, name=TRAINED, begin=model_id)
    revision = desk.store.browse.revision_of("pairs", "models", "trajectories")
    return _map(str(desk.root), revision, model_id, desk, by_id[model_id])


def _draw_counts(found: TrainingMap) -> None:
    counts = summarize_map(found)
    for column, (name, count, note) in zip(
        st.columns(3),
        (
            ("Never learned", counts.never_learned, "ranked right after no epoch"),
            ("Forgotten at least once", counts.forgotten, "right after an epoch, not after the next"),
            ("Ambiguous", counts.ambiguous, "right after some epochs, not after others"),
        ),
        strict=True,
    ):
        with column.container(border=True, height="stretch"):
            st.metric(name, f"{count:,}")
            st.text(f"{count / counts.pairs:.1%} of the pairs: {note}")


def _draw_map(found: TrainingMap) -> None:
    """Draw the map, the pairs that were never learned on top."""
    drawn = found.to_draw()
    if len(drawn) < len(found):
        st.text(
            f"{len(drawn):,} of {len(found):,} pairs are drawn: the most telling (never learned, forgotten most often, "
            "varying most) and an even sample of the rest."
        )
    alt = "Map of the training: mean confidence against variability of each pair"
    charts.draw(_map_figure(found, drawn), key="training-map", alt=alt)


def _map_figure(found: TrainingMap, drawn: IntArray) -> go.Figure:
    places, size = found.places, size_for(len(drawn)) + 1
    figure = go.Figure()
    for band, is_of_band in ((EVERY, found.always_right), (SOME, found.ambiguous), (NEVER, places.never_learned)):
        kept = drawn[is_of_band[drawn]]
        add_band(
            figure,
            band,
            places.variability[kept].astype(np.float32),
            places.confidence[kept].astype(np.float32),
            100 * places.correctness[kept].astype(np.float32),
            size=size,
            theme=theme(),
            hover="confidence %{y:.3f}<br>variability %{x:.3f}<br>right after %{marker.color:.0f}% of the epochs"
            "<br>forgotten %{customdata:,} times<extra></extra>",
            customdata=places.forgotten[kept].astype(np.int32),
        )
    axis = scale(0, 100, title="right after (% of the epochs)", bar=True)
    axis["colorbar"] |= BAR_BELOW
    charts.styled(
        figure,
        x="variability (standard deviation of the probability)",
        y="mean confidence (probability)",
        height=charts.HEIGHTS["plane"],
    )
    reach = max(float(places.variability.max()), 0.01)
    # Beyond the probabilities there is room for the names of the corners.
    figure.update_layout(
        coloraxis=axis,
        xaxis={"range": [-0.03 * reach, 1.05 * reach]},
        yaxis={"range": [-0.12, 1.12], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        annotations=[
            label(x, y, f"<b>{name}</b>", xref="paper", yref="paper", xanchor=side, yanchor=end)
            for x, y, name, side, end in CORNERS
        ],
    )
    return figure


def _draw_list(desk: Desk, found: TrainingMap) -> None:
    """List the most telling pairs, each with a link to its page, and offer all of them as a file."""
    lists: dict[str, IntArray] = {which: found.telling(which) for which in TELLING}
    begin = next((which for which, listed in lists.items() if len(listed)), TELLING[0])
    # Nearly all pairs vary: how many do says nothing.
    names = {which: which if which == "most variable" else f"{which} ({len(lists[which]):,})" for which in lists}
    which = choose("Pairs of the training", names, name=LIST, begin=begin)
    listed = lists[which]
    if presenting():
        st.text(f"Pairs of the training: {names[which]}")
    if not len(listed):
        st.text("There is no such pair.")
    else:
        rows = listed[rows_shown(len(listed), key="trained")]
        places, ids = found.places, found.pair_ids[rows]
        index = desk.index()
        decided = index.decision[index.positions_of_ids(ids)]
        draw_pairs(
            desk,
            f"Pairs of the training: {which}",
            [pair_id.decode() for pair_id in ids],
            {
                "confidence": places.confidence[rows],
                "variability": places.variability[rows],
                "right epochs": places.correctness[rows] * found.epochs,
                "forgotten": places.forgotten[rows],
                "label": [NAMES[DECISION_CODES[code]] if code else "" for code in decided],
            },
            formats=FORMATS,
            helps=HELPS,
            presented=("confidence", "variability", "forgotten"),
            key="trained-pairs",
        )
    if not presenting():
        st.download_button(
            "All pairs of the training (CSV)",
            data=lambda: _as_csv(found),
            file_name="mars-training-map.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/table:",
        )


def _as_csv(found: TrainingMap) -> str:
    text = io.StringIO()
    write_map(found, text)
    return text.getvalue()
