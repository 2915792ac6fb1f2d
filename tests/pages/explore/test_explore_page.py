"""Explore and Pair by AppTest: the address is the view, actions and undo, empty and hostile workspaces."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import numpy as np
import pytest
from app_workspaces import FAILED, make_workspace
from explore_workspaces import HOSTILE, add_map
from fakes import ListSource, make_bench, make_pairs
from streamlit.testing.v1 import AppTest

from mars_engine.core.records import Pair, Run, Turn
from mars_engine.core.review_records import ReviewEvent
from mars_engine.core.shipped import shipped
from mars_engine.data.import_pairs import import_pairs
from mars_engine.explore.excerpts import last_question
from mars_engine.explore.figures import draw_cloud
from mars_engine.explore.view import COLOURS, View
from mars_engine.reward_models.score import score_model
from mars_engine.service.desk import open_desk
from mars_engine.workspace.rounds import run_rounds
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store
from pages.parts.drawing import charts
from pages.parts.explore.figures import show_map

pytestmark = pytest.mark.slow

APP = str(shipped("app.py"))


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("explore") / "complete", "complete")
    add_map(root)
    return root


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("explore") / "hostile"
    bench = make_bench(url=create_workspace(root).database_url)
    pair = Pair.of([Turn("user", HOSTILE)], f"{HOSTILE} yes", f"{HOSTILE} no", subset=HOSTILE)
    source = ListSource((pair, *make_pairs(20)), name=HOSTILE)
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    (report,) = run_rounds(bench, 1, policy="accept-all")
    score_model(bench, report.model)
    bench.store.close()
    return root


def open_page(name: str, root: Path, monkeypatch, **query: str | list[str]) -> AppTest:
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    app = AppTest.from_file(APP, default_timeout=60).run()
    app.switch_page(f"pages/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def words(app: AppTest) -> str:
    return "\n".join(str(each.value) for each in [*app.text, *app.title, *app.subheader, *app.metric])


def selected(app: AppTest) -> int:
    (count,) = [each.value for each in app.subheader if "pairs selected" in each.value]
    return int(count.split()[0].replace(",", ""))


def button(app: AppTest, label: str):
    (found,) = [each for each in app.button if each.label.startswith(label)]
    return found


def sets_of(root: Path) -> list[str]:
    with open_workspace_store(find_workspace(root)) as store:
        return [each.name for each in store.pair_sets.all()]


def test_all_pairs_are_selected_at_first_and_the_figures_are_linked_by_the_address(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch)
    assert selected(app) == 40
    assert len(app.get("plotly_chart")) == 3
    held_out = open_page("explore", complete, monkeypatch, split="heldout")
    assert selected(held_out) == 20
    narrow = open_page("explore", complete, monkeypatch, split="heldout", in_margin="0_1.5")
    assert 0 < selected(narrow) < 20
    (table,) = narrow.dataframe
    assert len(table.value) == selected(narrow)
    assert table.value["margin"].between(0, 1.5).all()


def test_a_widget_writes_into_the_address_and_the_address_into_the_widget(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, page="3")
    app.multiselect(key="explore verdicts").set_value(["untriaged"]).run()
    assert app.query_params["verdict"] == "untriaged"
    assert "page" not in app.query_params
    assert selected(app) == 20
    again = open_page("explore", complete, monkeypatch, verdict="untriaged")
    assert again.multiselect(key="explore verdicts").value == ["untriaged"]
    again.number_input(key="explore margin to").set_value(1.5).run()
    assert again.query_params["margin"] == "_1.5"
    assert selected(again) < 20


def test_a_brush_is_cleared_by_its_own_button_and_all_by_one(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, in_margin="0_1", in_map="-1_1_-1_1", split="train")
    few = selected(app)
    button(app, "Brush on the margins").click().run()
    assert "in_margin" not in app.query_params
    assert "in_map" in app.query_params
    assert selected(app) > few
    button(app, "Clear all").click().run()
    assert selected(app) == 40
    assert not {"in_map", "split"} & set(app.query_params)


def test_what_a_link_says_wrongly_is_said_and_the_rest_shown(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, margin="wide", set="gone", split="train", sort="magic")
    assert selected(app) == 20
    shown = words(app)
    assert "The link's 'margin' was ignored" in shown
    assert "The link's 'sort' was ignored" in shown
    assert "no such set" in shown


def test_without_a_map_the_page_offers_to_make_it(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, map="prompt")
    assert "There is no map of the prompt yet." in words(app)
    assert button(app, "Make the map")
    started = []
    monkeypatch.setattr(
        "mars_engine.service.desk.start_job", lambda _workspace, _store, command, **_: started.append(command)
    )
    button(app, "Make the map").click().run()
    assert started == [("map", "--of", "prompt")]


def test_a_selection_is_put_together_and_undone(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, split="train")
    pairs = f"{selected(app)} pairs"
    button(app, f"Check {pairs} first").click().run()
    assert sets_of(complete) == [f"Check first: {pairs}"]
    assert f"has {pairs}" in words(app)
    button(app, "Undo").click().run()
    assert sets_of(complete) == []
    assert f"has {pairs}" not in words(app)


def test_only_training_pairs_are_checked_and_the_set_holds_no_others(complete, monkeypatch):
    both = open_page("explore", complete, monkeypatch)
    assert selected(both) == 40
    button(both, "Check 20 training pairs first").click().run()
    with open_workspace_store(find_workspace(complete)) as store:
        (made,) = store.pair_sets.all()
        training = {pair.id for pair in store.pairs.pairs("train")}
        assert (made.name, made.pairs) == ("Check first: 20 training pairs", 20)
        assert set(store.pair_sets.members(made.id)) == training
    assert "“Check first: 20 training pairs” has 20 pairs" in words(both)
    button(both, "Undo").click().run()
    heldout = open_page("explore", complete, monkeypatch, split="heldout")
    assert button(heldout, "Check 0 training pairs first").disabled


def test_where_no_pair_is_selected_a_sentence_and_a_way_back_stand_for_the_actions(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, words="nowhere to be found", in_margin="0_1")
    assert selected(app) == 0
    assert "No pair passes all filters and lies in all brushes." in words(app)
    actions = ("Check", "Review", "Propose", "Mark", "Export")
    assert not [each.label for each in app.button if each.label.startswith(actions)]
    assert not app.get("popover")
    button(app, "Select all pairs").click().run()
    assert selected(app) == 40
    assert button(app, "Export 40 pairs")
    assert not {"words", "in_margin"} & set(app.query_params)


def test_the_filters_fold_has_the_same_label_however_many_are_set(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch)
    assert "No filter is set and nothing brushed." in words(app)
    app.multiselect(key="explore verdicts").set_value(["untriaged"]).run()
    assert button(app, "Triage ✕")
    app.selectbox(key="explore split").set_value("heldout").run()
    assert [each.label for each in app.expander] == ["Filters"]
    button(app, "Triage ✕").click().run()
    assert "verdict" not in app.query_params
    assert app.query_params["split"] == "heldout"


def test_filters_are_cleared_by_their_own_button_and_the_brushes_stay(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, in_margin="0_1", split="train")
    button(app, "Split ✕").click().run()
    assert "split" not in app.query_params
    assert app.query_params["in_margin"] == "0_1"


def test_a_search_by_meaning_lists_the_nearest_first_with_their_similarity(tmp_path, monkeypatch):
    def embed(_worker, texts):
        rows = np.array([[len(text), 10, 1] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    monkeypatch.setattr("mars_engine.service.worker.WorkerClient.embed", embed)
    root = make_workspace(tmp_path / "complete", "complete")
    app = open_page("explore", root, monkeypatch, meaning="a few words")
    assert selected(app) == app.number_input(key="explore nearest").value == 10
    assert app.selectbox(key="explore sort").value == "nearest"
    similarity = app.dataframe[0].value["similarity"]
    assert similarity.is_monotonic_decreasing
    assert similarity.between(-1, 1.0001).all()
    app.number_input(key="explore nearest").set_value(15).run()
    assert app.query_params["nearest"] == "15"
    assert selected(app) == 15
    app.selectbox(key="explore sort").set_value("margin").run()
    assert app.dataframe[0].value["margin"].is_monotonic_increasing
    assert "similarity" in app.dataframe[0].value
    assert "similarity" not in open_page("explore", root, monkeypatch).dataframe[0].value


def test_a_marked_set_is_shown_again_by_its_name(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, split="heldout")
    app.text_input[-1].set_value("**my** set")
    button(app, "Mark").click()
    app.run()
    assert sets_of(complete) == ["**my** set"]
    button(app, "Show it").click().run()
    assert selected(app) == 20
    with open_workspace_store(find_workspace(complete)) as store:
        (made,) = store.pair_sets.all()
        assert app.query_params["set"] == made.id
        store.pair_sets.remove(made.id)


def test_proposals_are_made_for_the_selection_alone_and_undo_stops_that_and_brings_the_plan_back(complete, monkeypatch):
    queued = replace(FAILED, id="a" * 32, kind="propose", state="queued", error="", ended_at=None)
    started = []

    def start_job(_workspace, store, command, **_) -> Run:
        started.append(command)
        store.runs.start(queued)
        return queued

    def store_plan_at_the_last_moment(_run) -> None:
        store.proposals.add_plan(replace(before, id="b" * 24), store.proposals.plan_rows(before.id))

    monkeypatch.setattr("mars_engine.service.desk.start_job", start_job)
    monkeypatch.setattr("pages.parts.explore.actions.wait_until_stopped", store_plan_at_the_last_moment)
    monkeypatch.setattr("mars_engine.service.desk.start_next_job", lambda *_, **__: None)
    with open_workspace_store(find_workspace(complete)) as store:
        before = store.proposals.latest_plan()
        app = open_page("explore", complete, monkeypatch, split="train")
        assert "Up to 100 new pairs are planned for these 20 pairs" in words(app)
        app = open_page("explore", complete, monkeypatch)
        assert "Up to 100 new pairs are planned for these 20 training pairs" in words(app)
        button(app, "Start proposing").click().run()
        (made,) = store.pair_sets.all()
        assert made.name == "Propose: 20 training pairs"
        assert len(store.pair_sets.members(made.id)) == 20
        assert started == [("propose", "--set", made.id)]
        button(app, "Undo").click().run()
        assert not app.exception, app.exception[0].stack_trace
        assert store.runs.get(queued.id).state == "cancelled"
        assert store.proposals.latest_plan() == before
        store.pair_sets.remove(made.id)


def test_the_selection_is_exported_in_its_order_with_a_manifest(complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, split="heldout", sort="distance")
    button(app, "Export 20 pairs").click().run()
    (path,) = (complete / "artifacts" / "exports").glob("*.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 20
    distances = [row["mars_semantic_distance"] for row in rows]
    assert distances == sorted(distances)
    manifest = json.loads(path.with_name(f"{path.name}.manifest.json").read_text(encoding="utf-8"))
    assert manifest["view"] == {"split": "heldout", "sort": "distance"}
    assert app.get("download_button")


def test_the_table_has_pages(tmp_path, monkeypatch):
    bench = make_bench(url=create_workspace(tmp_path / "w").database_url)
    source = ListSource(make_pairs(130))
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    bench.store.close()
    app = open_page("explore", tmp_path / "w", monkeypatch)
    assert "1 to 100 of 130" in words(app)
    assert "No pair has a margin yet." in words(app)
    button(app, "Next").click().run()
    assert "101 to 130 of 130" in words(app)
    assert app.query_params["page"] == "2"
    assert len(app.dataframe[0].value) == 30


def test_names_and_texts_out_of_the_data_stay_as_they_are(hostile, monkeypatch):
    app = open_page("explore", hostile, monkeypatch, subset=HOSTILE)
    assert selected(app) == 1
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["chosen"], row["subset"], row["dataset"]) == (f"{HOSTILE} yes", HOSTILE, HOSTILE)
    assert not app.markdown
    with open_workspace_store(find_workspace(hostile)) as store:
        pair = store.pairs.pairs("train")[0]
    shown = open_page("pair", hostile, monkeypatch, id=pair.id)
    assert not [each for each in shown.markdown if "script" in each.value]
    assert "Rewards" in words(shown)


def test_a_pairs_page_needs_a_pair_that_is_there(complete, monkeypatch):
    assert "No pair is named" in words(open_page("pair", complete, monkeypatch))
    shown = words(open_page("pair", complete, monkeypatch, id="<b>nothing</b>"))
    assert "there is no pair '<b>nothing</b>'" in shown
    assert "Explore" in shown


def test_a_pair_is_open_beside_the_map_until_it_is_closed(complete, monkeypatch):
    with open_workspace_store(find_workspace(complete)) as store:
        pair = store.pairs.pairs("train")[0]
    app = open_page("explore", complete, monkeypatch, id=pair.id, split="train")
    assert "One pair" in words(app)
    link = next(each for each in app.get("page_link") if each.proto.label == "All that is known")
    assert f"id={pair.id}" in link.proto.query_string
    assert "split=train" in link.proto.query_string
    button(app, "Close").click().run()
    assert "One pair" not in words(app)
    assert selected(app) == 20
    assert "One pair" not in words(open_page("explore", complete, monkeypatch, id="nothing"))


def test_the_map_is_drawn_under_the_model_before_too(complete, monkeypatch):
    with open_workspace_store(find_workspace(complete)) as store:
        warm_up = store.models.all()[0]
    app = open_page("explore", complete, monkeypatch, against=warm_up.id)
    assert "Semantic map: after, signed round 1" in words(app)
    assert "Before, warm-up" in words(app)
    assert "Before, " not in words(open_page("explore", complete, monkeypatch, against="gone"))


def test_below_the_plane_stands_that_flipped_pairs_are_drawn_as_imported(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "flipped", "complete")
    note = "Pairs whose label was flipped"
    assert note not in words(open_page("explore", root, monkeypatch))
    with open_workspace_store(find_workspace(root)) as store:
        first = store.pairs.pairs("train")[0]
        store.reviews.append([ReviewEvent("pair", first.id, "flip", "ann", 1, datetime(2026, 3, 1, 12, tzinfo=UTC))])
    assert f"{note} (1) stand here" in words(open_page("explore", root, monkeypatch))


@pytest.mark.parametrize("colour", COLOURS)
def test_the_points_are_coloured_by_what_the_address_says(colour, complete, monkeypatch):
    app = open_page("explore", complete, monkeypatch, colour=colour)
    assert not app.exception
    chosen = next(each for each in app.selectbox if each.label == "Colour by")
    assert chosen.value == colour


def test_points_are_named_by_their_question_and_clicked_by_their_place(complete, monkeypatch):
    drawn = {}
    monkeypatch.setattr(charts, "draw", lambda figure, *, key, **_: drawn.update({key: figure}))
    desk = open_desk(complete)
    scene = desk.explorer.look(View(split="train"))
    cloud = draw_cloud(scene.places.x, scene.places.y, scene)
    questions = desk.explorer.questions(scene.index, cloud.points)
    show_map(scene, cloud, None, questions)
    pairs = desk.store.pairs.by_id(scene.ids)
    named = [trace for trace in drawn["explore map"].data if trace.text is not None]
    assert sum(len(trace.text) for trace in named) == 20
    for trace in named:
        for place, text in zip(trace.customdata.tolist(), trace.text, strict=True):
            asked = last_question(pairs[scene.index.ids[place].decode()])
            assert text.replace("<br>", " ") == escape(asked[:80])
    assert len(drawn["explore map"].layout.shapes) == 1
