"""The Train page: what it says before a start, starting a real job, and runs in every state."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from app_workspaces import FAILED, make_workspace
from fakes import make_bench
from sqlalchemy import Engine, event
from streamlit.testing.v1 import AppTest

from mars_engine.core.clock import utc_now
from mars_engine.core.config import ChatConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import ProposalFailure, Run
from mars_engine.core.shipped import shipped
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.reward_models.train import train_warm_up
from mars_engine.service.generator_cards import generation_settings
from mars_engine.store import Store, open_store
from mars_engine.workspace.rounds import open_round
from mars_engine.workspace.workspace import create_workspace, find_workspace, save_config

pytestmark = pytest.mark.slow

PAIRS = 10
APP = str(shipped("app.py"))


@pytest.fixture
def open_page(tmp_path, monkeypatch) -> Callable[[str], tuple[AppTest, Store]]:
    """Open the page on a new workspace of a kind; the page and the workspace's store."""

    def open_kind(kind: str) -> tuple[AppTest, Store]:
        root = make_workspace(tmp_path / "workspace", kind)
        monkeypatch.setenv("MARS_WORKSPACE", str(root))
        return open_train(), open_store(find_workspace(root).database_url)

    return open_kind


def open_train(**query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60).run()
    app.switch_page("pages/train.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def words(app: AppTest) -> str:
    shown = [*app.text, *app.subheader, *app.code, *app.metric]
    return "\n".join(str(element.value) for element in shown)


def figure(app: AppTest, label: str) -> str:
    return next(metric.value for metric in app.metric if metric.label == label)


def choose(app: AppTest, task: str) -> AppTest:
    app.segmented_control(key="train-task").set_value(task).run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def a_run(name: str, state, *, begun: float = 0, **fields) -> Run:
    started = utc_now() - timedelta(seconds=100 - begun)
    ended = None if state == "running" else started + timedelta(seconds=5)
    run = replace(
        FAILED, id=name * 32, state=state, error="", kind="rounds", started_at=started, heartbeat_at=utc_now()
    )
    return replace(run, ended_at=ended, **fields)


# ------------------------------------------------------------------------------------------------------ before a start


def test_without_pairs_it_says_where_to_import_some(open_page):
    app, _ = open_page("empty")
    assert "There are no training pairs yet" in words(app)
    assert "Nothing has run here yet." in words(app)
    assert not app.button


def test_before_any_run_the_cost_is_said_to_be_unknown(open_page):
    app, _ = open_page("without a model")
    assert "None of its kind has ended here yet" in words(app)
    assert "not known before a model has read the margins" in words(app)
    assert figure(app, "Base pairs trained on") == "20"
    assert app.button(key="start").label == "Open a round"


def test_the_budget_and_the_suspects_share_follow_the_form(open_page):
    app, _ = open_page("without proposals")
    assert figure(app, "Budget, new pairs") == "100"
    app.number_input(key="train.open.allocation.budget").set_value(1234).run()
    assert figure(app, "Budget, new pairs") == "1,234"
    assert figure(app, "Suspects' share of it") == "0.0%"


def test_a_round_cannot_be_closed_where_none_is_open_or_nothing_was_accepted(tmp_path, open_page):
    app, _ = open_page("without proposals")
    choose(app, "close")
    assert app.button(key="start").disabled
    assert "No round is open." in words(app)
    bench = make_bench(url=find_workspace(tmp_path / "workspace").database_url)
    train_warm_up(bench)  # what is in memory alone is trained again
    open_round(bench)
    bench.store.close()
    app = open_train()
    assert app.segmented_control(key="train-task").value == "close", "it is what comes next"
    assert app.button(key="start").disabled
    assert "Nothing is accepted yet" in words(app)


def test_what_closing_would_train_on_is_counted(open_page):
    app, store = open_page("complete")
    choose(app, "close")
    accepted = int(figure(app, "Accepted variants").replace(",", ""))
    assert accepted == sum(1 for events in store.reviews.events("proposal").values() if events[-1].action == "accept")
    assert 0 < int(figure(app, "New pairs, at most").replace(",", "")) <= 100
    assert not app.button(key="start").disabled


def test_an_unusable_setting_is_named_and_nothing_can_be_started(open_page):
    app, _ = open_page("complete")
    choose(app, "close")
    app.number_input(key="train.close.evaluate.confidence").set_value(1.0).run()
    assert "evaluate.confidence = 1.0" in words(app)
    assert not [button for button in app.button if button.key == "start"]


@pytest.mark.model
@pytest.mark.usefixtures("mars_in_this_process")
def test_tokens_and_money_are_estimated_by_the_button_until_a_setting_changes(tmp_path, open_page):
    open_page("without proposals")
    workspace = find_workspace(tmp_path / "workspace")
    chat = ChatConfig(model="tiny", input_price=1, output_price=4, max_requests=900)
    by_chat = workspace.config.propose.model_copy(update={"paraphraser": "chat", "refiner": "chat"})
    save_config(workspace, workspace.config.model_copy(update={"propose": by_chat, "chat": chat}))
    app = open_train()
    assert "The chat model 'tiny' gets up to 100 requests for it" in words(app)
    assert "tokens in" not in words(app)
    app.button(key="estimate").click().run(timeout=120)
    assert not app.exception, app.exception[0].stack_trace
    assert "Proposing for 20 source pairs asks the chat model 'tiny'" in words(app)
    assert "Spent in this workspace so far: 0 requests" in words(app)
    assert "in money; the budget: 900 requests, no limit of tokens" in words(app)
    app.number_input(key="train.open.allocation.budget").set_value(7).run()
    assert "tokens in" not in words(app), "it was of other settings"
    app.button(key="estimate").click().run(timeout=120)
    assert "Proposing for 7 source pairs" in words(app)


# ---------------------------------------------------------------------------------------------------------- a real job


def until_ended(store: Store) -> Run:
    deadline = time.monotonic() + 120
    while (run := store.runs.all()[0]).state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return run


@pytest.mark.model
def test_a_round_is_opened_by_the_button_with_the_forms_settings(tmp_path, monkeypatch):
    few = tmp_path / "few.jsonl"
    few.write_text("".join((shipped("data") / "demo-train.jsonl").read_text().splitlines(keepends=True)[:PAIRS]))
    workspace = create_workspace(tmp_path / "w")
    monkeypatch.setenv("MARS_WORKSPACE", str(workspace.root))
    store = open_store(workspace.database_url)
    import_pairs(open_source(str(few)), store, split="train", clock=utc_now, progress=SilentProgress())
    app = open_train()
    app.number_input(key="train.open.propose.variants").set_value(1)
    app.selectbox(key="train.open.triage.policy").set_value("keep")
    app.button(key="start").click().run()
    assert not app.exception
    run = store.runs.all()[0]
    assert set(run.command) == {"open-round", "--propose-variants", "1", "--triage-policy", "keep"}
    assert run.settings["propose"]["variants"] == 1
    assert until_ended(store).state == "finished"
    assert {proposal.variant for proposal in store.proposals.proposals()} <= {0, 1}
    app = open_train()
    assert "✓ finished: open-round" in words(app)
    assert app.segmented_control(key="train-task").value == "close", "it is what comes next"
    assert figure(app, "Wait for review") == f"{len(store.proposals.proposals()):,}"
    assert "The one earlier run of this kind took" in words(choose(app, "open"))


def test_a_failed_start_is_said_on_the_page(open_page, tmp_path):
    app, store = open_page("without a model")
    (tmp_path / "workspace" / "artifacts").rename(tmp_path / "elsewhere")
    (tmp_path / "workspace" / "artifacts").write_text("not a folder")
    app.button(key="start").click().run()
    assert "⚠" in words(app)
    assert store.runs.all() == []


# ------------------------------------------------------------------------------------------------------ runs and states


def test_a_run_at_work_shows_its_progress_and_can_be_cancelled_and_others_queued(open_page):
    app, store = open_page("complete")
    log = "artifacts/logs/r.log"
    process = psutil.Process()
    alive = {"process_id": process.pid, "process_started": process.create_time()}
    store.runs.start(a_run("r", "running", log=log, **alive))
    store.runs.report_progress(
        "r" * 32, utc_now(), {"task": "encode *texts*", "done": 300, "total": 1200, "seconds": 10.0}
    )
    for metric in ("training log-loss", "held-out accuracy"):
        store.runs.add_point("r" * 32, metric, 0, 0.5)
        store.runs.add_point("r" * 32, metric, 1, 0.6)
    root = Path(os.environ["MARS_WORKSPACE"])
    (root / log).parent.mkdir(parents=True, exist_ok=True)
    (root / log).write_text("first line\n<script>alert(1)</script> $x$\n")
    app = open_train()
    assert "encode *texts*: 300 of 1,200, 30.0 a second, about 30 s left of this task" in words(app)
    assert "<script>alert(1)</script> $x$" in words(app)
    assert app.button(key="start").label.endswith("once its turn has come")
    assert "Your job starts when it finishes." in words(app)
    assert app.button(key=f"cancel-{'r' * 32}").label == "Cancel"
    assert len(app.get("plotly_chart")) >= 2
    now = utc_now()
    queued = Run("q" * 32, "score", "queued", {}, {}, "", 0, 0.0, now, now, None, {}, ("score",), "artifacts/logs/q")
    store.runs.start(queued)
    app = open_train()
    assert "1. mars score, since" in words(app)
    app.button(key=f"unqueue-{'q' * 32}").click().run()
    assert store.runs.get("q" * 32).state == "cancelled"
    assert "1. mars score" not in words(app)


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        ("failed", "the file <b>x</b> is $damaged$", "correct what the error names, then try again"),
        ("lost", "its process ended without a word", "it goes on where it stopped"),
        ("cancelled", "", "What was stored is kept"),
    ],
)
def test_a_run_that_did_not_finish_shows_its_error_and_what_to_do(open_page, state, error, says):
    _, store = open_page("complete")
    store.runs.start(a_run("e", state, error=error))
    app = open_train()
    assert says in words(app)
    assert not error or error in [code.value for code in app.code]
    assert app.button(key=f"retry-{'e' * 32}").label == "Try again"


def test_work_of_the_command_line_cannot_be_retried_here_and_says_so(open_page):
    _, store = open_page("complete")
    store.runs.start(a_run("c", "failed", error="it broke", command=()))
    app = open_train()
    assert "run it again on the command line" in words(app)
    assert not [button for button in app.button if button.label == "Try again"]


def test_a_run_whose_process_is_gone_is_shown_as_lost(open_page):
    _, store = open_page("complete")
    store.runs.start(a_run("g", "running", process_id=2**22 - 1))
    app = open_train()
    assert "its process ended without a word" in [code.value for code in app.code]
    assert not app.button(key="start").disabled


def test_the_address_names_the_run_that_is_looked_at(open_page):
    _, store = open_page("complete")
    store.runs.start(a_run("a", "finished", summary={"held-out accuracy": 0.25}))
    store.runs.start(a_run("b", "failed", begun=10, error="the newest"))
    assert "the newest" in words(open_train())
    older = open_train(run="a" * 32)
    assert "the newest" not in [code.value for code in older.code]
    assert older.selectbox[-1].value == "a" * 32


def test_present_mode_shows_runs_without_controls(open_page):
    _, store = open_page("complete")
    store.runs.start(a_run("f", "failed", error="it broke"))
    app = open_train(present="1")
    assert "✗ failed" in words(app)
    assert "it broke" not in words(app)  # an error is for those who run it, and may name files of theirs
    assert not app.button
    assert not app.selectbox
    assert not app.number_input


# ------------------------------------------------------------------------------------------------------------ failures


def test_what_could_not_be_written_is_listed_with_its_reason_and_can_be_tried_again(open_page, tmp_path, monkeypatch):
    app, store = open_page("without proposals")
    assert "What could not be written" not in "\n".join(each.label for each in app.expander)
    workspace = find_workspace(tmp_path / "workspace")
    source = store.pairs.pairs("train")[0].id
    now = generation_settings(workspace)
    for settings_id, reason in ((now, "the server failed (500)"), ("earlier settings", "forgotten")):
        failed = [
            ProposalFailure(source, settings_id, "chat-paraphraser", "chosen", reason, retryable=True),
            ProposalFailure(source, settings_id, "chat-paraphraser", "prompt", "1 empty", retryable=False),
        ]
        store.proposals.add_proposals(settings_id, {}, [], failed)
    app = open_train()
    (expander,) = [each for each in app.expander if "What could not be written" in each.label]
    assert "2 failures; 1 of them may pass another time" in expander.label
    shown = "\n".join(str(each.proto.body) for each in app.get("html"))
    assert "the server failed (500)" in shown
    assert "forgotten" not in shown
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr("mars_engine.service.desk.Desk.start_job", lambda _, *command: started.append(command))
    app.button(key="retry-failed").click().run()
    assert started == [("propose", "--retry-failed")]


# --------------------------------------------------------------------------------------------------------------- loads


def test_a_rerun_asks_for_the_runs_that_it_shows_and_never_for_all(open_page):
    app, store = open_page("scored")
    for number in range(60):
        store.runs.start(a_run(f"{number:02d}"[-1] + f"{number:02d}", "finished", begun=number))
    app.run()
    whole, read = [], []

    def note(_connection, _cursor, statement, *_rest) -> None:
        sql = " ".join(statement.split())
        if sql.startswith("SELECT") and "FROM runs" in sql:
            read.append(sql)
            if "WHERE" not in sql and "LIMIT" not in sql and "count(" not in sql:
                whole.append(sql)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        app.run()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not app.exception
    assert whole == []
    assert len(read) <= 8
