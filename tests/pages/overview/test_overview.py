"""The Overview: in an empty workspace, after a round, presented, with a run at work or a failed one."""

import subprocess
import sys
from pathlib import Path

import pytest
from app_workspaces import make_workspace
from fakes import ListSource, make_bench, make_pairs, record_review
from streamlit.testing.v1 import AppTest

from mars_engine.core.clock import utc_now
from mars_engine.core.shipped import shipped
from mars_engine.data.import_pairs import import_pairs
from mars_engine.evaluate.status import StepCount
from mars_engine.jobs.recorded_run import recorded_run
from mars_engine.service.desk import Desk
from mars_engine.workspace.rounds import open_round
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store
from pages.parts.overview.steps import step_bar

pytestmark = pytest.mark.slow

APP = str(shipped("app.py"))


def open_app(**query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    shown = [*app.text, *app.warning, *app.info, *app.title, *app.subheader, *app.code]
    return "\n".join([*(element.value for element in shown), *(button.label for button in app.button)])


def test_a_folder_that_is_no_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(tmp_path))
    assert "mars --workspace" in words(open_app())


def test_an_empty_workspace_offers_to_import(tmp_path, monkeypatch):
    create_workspace(tmp_path / "w")
    monkeypatch.setenv("MARS_WORKSPACE", str(tmp_path / "w"))
    assert "no training pairs yet" in words(open_app())


def test_a_trained_workspace_shows_figures_counts_margins_and_plane(tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(make_workspace(tmp_path / "w", "complete")))
    app = open_app()
    shown = words(app)
    assert "signed round 1 ranks" in shown
    assert "Margin and semantic distance" in shown
    assert "See the results" in shown
    metrics = {metric.label: metric.value for metric in app.metric}
    with open_workspace_store(find_workspace(tmp_path / "w")) as store:
        composition = store.compositions.latest()
        composed = store.compositions.count(composition.id)
        pairs = [row.pair for row in store.compositions.pairs(composition.id)]
    difference = sum(len(pair.chosen) - len(pair.rejected) for pair in pairs) / len(pairs)
    assert f"chosen − rejected: {difference:+,.0f} characters on the mean;".replace("-", "−") in shown
    assert metrics["New pairs in training"] == f"{composed:,}"
    assert metrics["Held-out accuracy"].endswith("%")
    assert "95% interval" in shown
    assert "against warm-up: " in shown


def test_skips_that_were_undone_are_no_decisions_taken_back(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "complete")
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    with open_workspace_store(find_workspace(root)) as store:
        pair = store.pairs.pairs("train")[0].id
        for action in ("skip", "undo", "skip", "undo", "flip", "undo", "flip"):
            record_review(store, "pair", pair, action, annotator="ada", clock=utc_now)
        first, second = store.proposals.proposals()[:2]
        for item, action in ((first, "reject"), (second, "accept")):
            record_review(store, "proposal", item.id, action, annotator="policy", clock=utc_now)
    app = open_app()
    assert {metric.label: metric.value for metric in app.metric}["Decisions by people"] == "4"
    assert "2 people; 1 of these decisions taken back;" in words(app)


def test_present_mode_has_figures_and_no_controls(tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(make_workspace(tmp_path / "w", "complete")))
    app = open_app(present="1")
    assert not app.button
    assert next(metric.label for metric in app.metric) == "Held-out accuracy"


@pytest.mark.parametrize("kind", ["without a model", "without proposals"])
def test_the_next_step_is_one_button(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(make_workspace(tmp_path / "w", kind)))
    started = []
    monkeypatch.setattr(Desk, "start_job", lambda _, *command: started.append(command))
    app = open_app()
    assert [button.label for button in app.button if button.key == "next-step"] == ["Open the round"]
    app.button(key="next-step").click().run()
    assert not app.exception
    assert started == [("open-round",)]


def test_pending_proposals_lead_to_the_review(tmp_path, monkeypatch):
    bench = make_bench(url=create_workspace(tmp_path / "w").database_url)
    import_pairs(ListSource(make_pairs(20)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    open_round(bench)
    bench.store.close()
    monkeypatch.setenv("MARS_WORKSPACE", str(tmp_path / "w"))
    app = open_app()
    assert [button.label for button in app.button if button.key == "next-step"] == ["Review proposals"]
    assert "wait for a decision" in words(app)
    with open_workspace_store(find_workspace(tmp_path / "w")) as store, recorded_run(store, "experiment", {}, utc_now):
        app = open_app()
        assert "At work: experiment" in words(app)
        assert [button.label for button in app.button if button.key == "next-step"] == ["Review proposals"]


def test_while_a_run_is_at_work_its_progress_stands_in_the_buttons_place(tmp_path, monkeypatch):
    root = make_workspace(tmp_path / "w", "without proposals")
    monkeypatch.setenv("MARS_WORKSPACE", str(root))
    with (
        open_workspace_store(find_workspace(root)) as store,
        recorded_run(store, "open-round", {}, utc_now),
    ):
        (run,) = [run for run in store.runs.all() if run.state == "running"]
        store.runs.report_progress(run.id, utc_now(), {"task": "embed", "done": 3, "total": 12})
        app = open_app()
        assert "At work: open-round" in words(app)
        assert "embed: 3 of 12" in words(app)
        assert not [button for button in app.button if button.key == "next-step"]


def test_a_failed_job_shows_its_error_as_it_is_and_can_be_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_WORKSPACE", str(make_workspace(tmp_path / "w", "failed job")))
    app = open_app()
    assert "the weights <b>are</b> $missing$." in words(app)
    assert "Try again" in words(app)


def test_a_step_escapes_what_comes_from_the_workspace():
    bar = step_bar(StepCount("suspected", 5, 10, "pairs", "<script>x</script>"))
    assert "<script>" not in bar
    assert "&lt;script&gt;" in bar
    assert "width:50.00%" in bar
    assert "of 10 pairs" in bar


def test_a_step_has_a_bar_only_where_it_is_a_part_of_a_whole():
    assert "mars-track" not in step_bar(StepCount("trained", 360, None, "training pairs"))
    assert "mars-fill" not in step_bar(StepCount("accepted", 0, 0, "proposals"))


def test_the_server_imports_no_torch():
    code = (
        "import sys, os; os.environ['MARS_WORKSPACE'] = '/nowhere';"
        f"sys.path.insert(0, {str(Path(APP).parent)!r}); import pages.parts.overview.figures;"
        "import pages.parts.overview.steps, pages.parts.results.figures, pages.parts.results.download;"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'datasets', 'umap'} & set(sys.modules);"
        "assert not heavy, heavy; assert 'mars_engine.evaluate.overview' in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
