"""Results: trained models beside each other, on held-out pairs that none of them saw."""

from collections.abc import Sequence

import streamlit as st

from mars_engine.core.records import ModelRecord, Split
from mars_engine.evaluate.heldout_sections import HeldoutSections, score_sections
from mars_engine.evaluate.results import (
    Movement,
    Results,
    compare_models,
    default_models,
    margin_movement,
    results_revision,
)
from mars_engine.evaluate.rewardbench import benchmarked_models
from mars_engine.reward_models.model_labels import with_distinct_labels
from mars_engine.service.desk import Desk
from pages.parts.frame.page import empty_state, page, presenting
from pages.parts.results.download import draw_downloads
from pages.parts.results.experiments import draw_experiments
from pages.parts.results.figures import (
    draw_calibration,
    draw_comparisons,
    draw_lineage,
    draw_models,
    draw_not_scored,
    draw_subsets,
    draw_words,
)
from pages.parts.results.movement import choose_split, draw_crossed, draw_movement
from pages.parts.results.probe_choice import draw_probe_choice
from pages.parts.results.rewardbench import draw_rewardbench
from pages.parts.results.training import draw_training_dynamics
from pages.parts.results.win_rates import draw_win_rates

MODELS = "models"
"""Name in the query parameters of the ids of the models compared."""


@st.cache_resource(max_entries=16, show_spinner="Comparing models")
def _results(root: str, revision: str, ids: tuple[str, ...], settings: str, _desk: Desk) -> Results:  # noqa: ARG001
    models = [model for model in _desk.store.models.all() if model.id in ids]
    return compare_models(_desk.store, _desk.index(), models, config=_desk.config.evaluate)


@st.cache_resource(max_entries=16, show_spinner="Reading margins")
def _movement(root: str, revision: str, ids: tuple[str, str], split: Split, _desk: Desk) -> Movement:  # noqa: ARG001
    before, after = (_desk.store.models.get(model_id) for model_id in ids)
    assert before is not None  # noqa: S101 (models are never deleted)
    assert after is not None  # noqa: S101
    return margin_movement(_desk.store, _desk.index(), before, after, split)


@st.cache_resource(max_entries=4, show_spinner="Scoring the held-out subsets")
def _sections(root: str, revision: str, _desk: Desk) -> HeldoutSections:  # noqa: ARG001
    models = with_distinct_labels(_desk.store.models.all())
    return score_sections(_desk.store, _desk.index(), models)


def choose_models(models: Sequence[ModelRecord]) -> tuple[str, ...]:
    """Ask which models to compare; the address says which, so that a copied link shows the same."""
    known = {model.id for model in models}
    asked = [model_id for model_id in st.query_params.get(MODELS, "").split(",") if model_id in known]
    begin = asked or [model.id for model in default_models(models)]
    if presenting():
        return tuple(begin)
    labels = {model.id: model.label for model in with_distinct_labels(models)}
    if "results-models" not in st.session_state:
        st.session_state["results-models"] = begin
    chosen = st.multiselect("Models", list(labels), format_func=lambda model_id: labels[model_id], key="results-models")
    st.query_params[MODELS] = ",".join(chosen)
    return tuple(chosen)


def draw_models_compared(desk: Desk) -> None:
    models = desk.store.models.all()
    if not models:
        empty_state(
            "No reward model is trained yet.",
            to_do="Import pairs and open a round: that trains the warm-up. Close the round to train on new pairs.",
            page_path="pages/overview.py",
            link="To the overview",
        )
        return
    if not desk.store.pairs.count("heldout"):
        empty_state(
            "There are no held-out pairs, so models cannot be compared.",
            to_do="Import a file as held-out pairs, or hold out part of a file when importing it.",
            page_path="pages/data.py",
            link="Import pairs",
        )
        return
    ids = choose_models(models)
    if not ids:
        empty_state("No model is chosen.", to_do="Choose one or more above.")
        return
    root, revision = str(desk.root), results_revision(desk.store)
    results = _results(root, revision, ids, desk.config.evaluate.model_dump_json(), desk)
    draw_not_scored(results)
    if not results.models:
        return
    draw_words(results)
    if not presenting():
        draw_downloads(desk, results)
    draw_models(results)
    draw_comparisons(results)
    if len(results.models) > 1:
        split = choose_split()
        ends = (results.models[0].record.id, results.models[-1].record.id)
        movement = _movement(root, revision, ends, split, desk)
        draw_movement(movement, models=len(results.models))
        draw_crossed(desk, movement)
    draw_subsets(results)
    draw_calibration(results)
    draw_lineage(results)


def draw(desk: Desk) -> None:
    draw_models_compared(desk)
    draw_probe_choice(desk)
    draw_training_dynamics(desk, is_trained=desk.store.models.latest() is not None)
    sections = _sections(str(desk.root), results_revision(desk.store), desk)
    draw_rewardbench(benchmarked_models(desk.store), sections)
    draw_win_rates(desk)


with page("Results", purpose="What each model is worth on held-out pairs that none of them was trained on.") as desk:
    draw(desk)
    draw_experiments(desk)
