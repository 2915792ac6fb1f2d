"""The Data page: importing with a preview, the table and reports, files to take out, and deleting."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from app_workspaces import make_workspace
from fakes import make_pairs, record_review
from streamlit.testing.v1 import AppTest

from mars_engine.core.clock import utc_now
from mars_engine.core.shipped import shipped
from mars_engine.service.exports import list_exports
from mars_engine.service.uploads import save_upload
from mars_engine.store import Store, open_store
from mars_engine.workspace.backup import list_backups
from mars_engine.workspace.workspace import Workspace, find_workspace

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mars_in_this_process")]

APP = str(shipped("app.py"))
HOSTILE = "<script>alert(1)</script> ![](http://127.0.0.1:9/x.png) $$x$$ :smile: **bold**"


@pytest.fixture
def at_work(tmp_path, monkeypatch) -> Callable[[str], tuple[Workspace, Store]]:
    """Make a workspace of a kind, and serve it; the workspace and its store."""

    def make(kind: str) -> tuple[Workspace, Store]:
        root = make_workspace(tmp_path / "workspace", kind)
        monkeypatch.setenv("MARS_WORKSPACE", str(root))
        workspace = find_workspace(root)
        return workspace, open_store(workspace.database_url)

    return make


def open_data(section: str = "", **query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120).run()
    app.switch_page("pages/data.py")
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if section:
        app.segmented_control(key="section").set_value(section).run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def words(app: AppTest) -> str:
    shown = [*app.text, *app.subheader, *app.code, *app.metric]
    return "\n".join(str(element.value) for element in shown)


def tables(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].stack_trace
    return app


def upload(workspace: Workspace, tmp_path: Path, name: str, content: str) -> str:
    path = tmp_path / "given"
    path.write_text(content, encoding="utf-8")
    with path.open("rb") as stream:
        return save_upload(workspace, name, stream).key


def pair_lines(count: int) -> str:
    rows = [
        {"prompt": f"{HOSTILE} {number}", "chosen": f"yes {number} {HOSTILE}", "rejected": f"no {number}"}
        for number in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def wait_for_import(app: AppTest, store: Store) -> AppTest:
    deadline = time.monotonic() + 90
    while any(run.state == "running" for run in store.runs.all()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    app.run()
    assert not app.exception, app.exception[0].stack_trace
    return app


# -------------------------------------------------------------------------------------------------------------- import


def test_an_empty_workspace_begins_with_the_import_and_the_demo_pairs_are_one_button(at_work):
    _, store = at_work("empty")
    app = open_data()
    assert app.segmented_control(key="section").value == "Import"
    press(app, "preview-demo")
    assert "To train on · read as trl" in words(app)
    assert "Held out · read as trl" in words(app)
    assert [metric.value for metric in app.metric if metric.label == "New pairs"] == ["360", "252"]
    assert store.pairs.datasets() == []
    app = wait_for_import(press(app, "import-demo"), store)
    assert "✓ finished: import" in words(app)
    assert [dataset.pair_count for dataset in store.pairs.datasets()] == [360, 252]


def test_where_nothing_is_held_out_a_part_of_the_prompts_is_one_button_away(at_work, tmp_path):
    workspace, store = at_work("empty")
    app = open_data(upload=upload(workspace, tmp_path, "mine.jsonl", pair_lines(10)))
    assert "Nothing is held out in this workspace" in words(app)
    press(app, "hold-out")
    assert app.segmented_control(key="import-part").value == "both"
    assert "Nothing is held out in this workspace" not in words(app)
    app = wait_for_import(press(app, "import"), store)
    assert store.pairs.count("heldout") == 2
    again = open_data(upload=upload(workspace, tmp_path, "more.jsonl", pair_lines(11)))
    assert "Nothing is held out" not in words(again)
    assert again.button(key="import").label == "Import 1 pair"


def test_a_file_that_cannot_be_read_is_called_by_its_name(at_work, tmp_path):
    workspace, _ = at_work("empty")
    app = open_data(upload=upload(workspace, tmp_path, "wrong.jsonl", '{"a": 1}\n'))
    assert "wrong.jsonl" in words(app)
    assert str(workspace.root) not in words(app)
    assert ".." not in words(app)
    assert "The file is kept until it is imported" in words(app)


def test_a_file_is_previewed_and_nothing_is_stored_before_import(at_work, tmp_path):
    workspace, store = at_work("empty")
    lines = pair_lines(5) + "not json\n" + pair_lines(1)
    app = open_data(upload=upload(workspace, tmp_path, "my pairs.jsonl", lines))
    shown = words(app)
    assert "read as trl" in shown
    assert "my-pairs.jsonl" in shown
    figures = {metric.label: metric.value for metric in app.metric}
    assert (figures["Rows read"], figures["New pairs"], figures["Dropped"]) == ("7", "5", "2")
    assert figures["“Longer wins”"] == "100.0%"
    assert "line that is not JSON" in tables(app)
    assert "row 6: line that is not JSON" in shown
    assert "row 7: duplicate of the pair in row 1" in shown
    assert [expander.label for expander in app.expander if expander.label.startswith("Pair")] == [
        "Pair 1", "Pair 2", "Pair 3"
    ]  # fmt: skip
    assert store.pairs.datasets() == []
    assert app.button(key="import").label == "Import 5 pairs"
    app = wait_for_import(press(app, "import"), store)
    assert [(each.name, each.pair_count, each.split) for each in store.pairs.datasets()] == [("my-pairs", 5, "train")]
    assert store.pairs.pairs("train")[0].chosen == f"yes 0 {HOSTILE}"
    assert "upload" not in app.query_params


def odd_lines(count: int) -> str:
    rows = ({"frage": f"q {n} {HOSTILE}", "best": f"yes {n}", "worst": f"no {n}", "note": "x"} for n in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_columns_that_are_not_recognised_are_chosen_and_the_preview_follows(at_work, tmp_path):
    workspace, store = at_work("empty")
    app = open_data(upload=upload(workspace, tmp_path, "odd.jsonl", odd_lines(4)))
    assert "has no format that is known" in words(app)
    assert "It may be: prompt in frage, chosen in best, rejected in worst." in words(app)
    press(app, "import-suggested")
    assert app.selectbox(key="import-columns-prompt").value == "frage"
    assert app.button(key="import").label == "Import 4 pairs"
    assert "note" in tables(app)
    app.selectbox(key="import-columns-chosen").set_value("worst").run()
    app.selectbox(key="import-columns-rejected").set_value("best").run()
    app = wait_for_import(press(app, "import"), store)
    pair = store.pairs.pairs("train")[0]
    assert (pair.prompt[0].content, pair.chosen, pair.rejected) == (f"q 0 {HOSTILE}", "no 0", "yes 0")


def test_unknown_roles_are_chosen_and_another_file_begins_anew(at_work, tmp_path):
    workspace, _ = at_work("empty")

    def dialogue(answer: str) -> list[dict[str, str]]:
        return [{"role": "Frage", "content": "q"}, {"role": "Antwort", "content": answer}]

    row = json.dumps({"chosen": dialogue("a"), "rejected": dialogue("b")}) + "\n"
    app = open_data(upload=upload(workspace, tmp_path, "roles.jsonl", row))
    assert "the roles are Frage, Antwort" in words(app)
    app.selectbox(key="import-roles-Frage").set_value("user").run()
    app.selectbox(key="import-roles-Antwort").set_value("assistant").run()
    assert app.button(key="import").label == "Import 1 pair"
    again = open_data(upload=upload(workspace, tmp_path, "odd.jsonl", odd_lines(2)))
    assert again.selectbox(key="import-columns-prompt").value == "As recognised"


def test_a_part_of_the_prompts_is_held_out(at_work, tmp_path):
    workspace, store = at_work("empty")
    app = open_data(upload=upload(workspace, tmp_path, "pairs.jsonl", pair_lines(40)))
    app.segmented_control(key="import-part").set_value("both").run()
    kept = [int(metric.value) for metric in app.metric if metric.label == "New pairs"]
    assert len(kept) == 2
    assert sum(kept) == 40
    wait_for_import(press(app, "import"), store)
    assert [store.pairs.count("train"), store.pairs.count("heldout")] == kept


def test_a_wrong_file_says_what_was_found_and_is_not_lost(at_work, tmp_path):
    workspace, store = at_work("empty")
    key = upload(workspace, tmp_path, "wrong.csv", f"alpha,{HOSTILE}\n1,2\n")
    app = open_data(upload=key)
    shown = words(app)
    assert "has no format that is known: its columns are 'alpha', '<script>alert(1)</script>" in shown
    assert "Expected: the columns of one format" in shown
    assert "What to do: rename the columns." in shown
    assert "Nothing was stored." in shown
    assert (workspace.artifacts / "uploads" / key).exists()
    assert "import" not in [button.key for button in app.button]
    press(app, "read-again")
    press(app, "another-file")
    assert len(app.get("file_uploader")) == 1
    assert store.pairs.datasets() == []


def test_pairs_that_are_here_already_cannot_be_imported_again(at_work, tmp_path):
    workspace, _ = at_work("without a model")
    pair = make_pairs(20)[0]
    row = {"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected}
    app = open_data(upload=upload(workspace, tmp_path, "again.jsonl", json.dumps(row)))
    assert "here already" in words(app)
    assert "import" not in [button.key for button in app.button]


def test_a_hub_name_cannot_name_a_folder_of_the_server(at_work):
    at_work("empty")
    app = open_data(hub="/etc/passwd")
    assert "does not name a set on the hub" in words(app)


def test_an_unknown_upload_in_the_address_asks_for_a_file(at_work):
    at_work("empty")
    app = open_data(upload="../../mars.toml")
    assert len(app.get("file_uploader")) == 1


# ------------------------------------------------------------------------------------------------------------ datasets


def test_datasets_are_listed_with_their_reports(at_work):
    at_work("complete")
    app = open_data()
    assert app.segmented_control(key="section").value == "Datasets"
    assert "&lt;b&gt;train&lt;/b&gt;" in tables(app)
    app.selectbox(key="report-of").set_value(2).run()
    assert "Held out · read as trl" in words(app)
    assert "<b>heldout</b>, from list" in words(app)


def test_present_mode_shows_the_datasets_without_controls(at_work):
    at_work("complete")
    app = open_data(present="1")
    assert "&lt;b&gt;train&lt;/b&gt;" in tables(app)
    assert not app.button
    assert not app.selectbox
    assert not app.segmented_control


# ------------------------------------------------------------------------------------------------------------- way out


def test_a_training_file_and_the_history_are_made_with_downloads(at_work):
    workspace, _ = at_work("complete")
    app = open_data("Export")
    app.selectbox(key="export-ending").set_value(".jsonl.gz").run()
    press(app, "export")
    (made,) = list_exports(workspace)
    assert made.path.name.startswith("training-set-conversational-")
    assert made.manifest is not None
    assert json.loads(made.manifest.read_text())["rows"] > 20
    press(app, "history-jsonl")
    history = next(each for each in list_exports(workspace) if each.manifest is None)
    assert all(json.loads(line)["annotator"] == "policy:gates" for line in history.path.read_text().splitlines())
    assert sorted(button.label for button in app.get("download_button")) == ["Download", "Download", "Manifest"]


def test_what_cannot_be_exported_says_why(at_work):
    at_work("without a model")
    app = open_data("Export")
    app.selectbox(key="export-what").set_value("composed").run()
    press(app, "export")
    assert "there is nothing to export as 'composed'" in words(app)


def test_a_backup_is_one_button_and_then_a_download(at_work):
    workspace, _ = at_work("complete")
    app = open_data("Backups")
    assert "There is no backup yet." in words(app)
    press(app, "backup")
    (backup,) = list_backups(workspace)
    assert backup.path.name in words(app)
    assert [button.label for button in app.get("download_button")] == ["Download"]


# -------------------------------------------------------------------------------------------------------------- delete


def test_a_dataset_is_deleted_once_its_name_was_typed(at_work):
    workspace, store = at_work("complete")
    record_review(store, "pair", make_pairs(1)[0].id, "flip", annotator="ada", clock=utc_now)
    app = open_data("Delete")
    train = store.pairs.datasets()[0]
    app.selectbox(key="delete-what").set_value(train.id).run()
    assert "This deletes 1 dataset, 20 pairs" in words(app)
    assert "a backup is made first" in words(app)
    assert app.code[0].value == "<b>train</b>"

    def confirm(name: str) -> AppTest:
        app.text_input[0].set_value(name)
        next(button for button in app.button if button.label == "Delete the dataset").click().run()
        assert not app.exception, app.exception[0].stack_trace
        return app

    assert "was typed to confirm" in words(confirm("train"))
    assert store.pairs.count("train") == 20
    assert "✓ Deleted 1 dataset, 20 pairs" in words(confirm("<b>train</b>"))
    assert [each.name for each in store.pairs.datasets()] == ["<b>heldout</b>"]
    assert len(list_backups(workspace)) == 1


def test_everything_is_deleted_after_a_backup(at_work):
    workspace, store = at_work("complete")
    app = open_data("Delete")
    app.selectbox(key="delete-what").set_value("everything").run()
    app.text_input[0].set_value(workspace.root.name)
    next(button for button in app.button if button.label == "Delete everything").click().run()
    assert "✓ Deleted 2 datasets, 40 pairs" in words(app)
    assert store.pairs.datasets() == []
    assert len(list_backups(workspace)) == 1
    app.switch_page("pages/overview.py").run()
    assert not app.exception
    assert "no training pairs yet" in words(app)


def test_what_the_pairs_say_against_themselves_is_looked_for_by_a_job(at_work):
    _, store = at_work("without a model")
    app = open_data()
    assert "Nobody has looked yet" in words(app)
    press(app, "look-for-findings")
    run = store.runs.all()[0]
    assert run.kind == "findings"
    while store.runs.get(run.id).state in ("queued", "running"):
        time.sleep(0.05)
    assert store.runs.get(run.id).state == "finished", store.runs.get(run.id).error
    app.run()
    assert "Nobody has looked yet" not in words(app)
    assert "None among 40 pairs: contradictions" in words(app)
    assert "look-for-findings" not in [button.key for button in app.button]
