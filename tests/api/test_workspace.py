"""A workspace from Python: one round on a few pairs, what it then holds as frames, and what cannot be used."""

import pandas as pd
import pytest
from lamp_pairs import QUICK, some_pairs

import mars_engine as mars
from mars_engine.workspace.workspace import find_workspace, open_workspace_store

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("one_thread")]


def runs_of(workspace):
    with open_workspace_store(find_workspace(workspace.path)) as store:
        return store.runs.all()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workspace that one round went through, with what each step returned."""
    with mars.create(tmp_path_factory.mktemp("api") / "w", settings=QUICK, progress=False) as workspace:
        done = {
            "import": workspace.import_pairs(some_pairs(8), name="lamps"),
            "heldout": workspace.import_pairs(some_pairs(4, of="chair"), name="chairs", split="heldout"),
            "train": workspace.train(),
            "score": workspace.score(),
            "plan": workspace.plan(),
            "propose": workspace.propose(),
            "review": workspace.review(policy="accept-all"),
            "compose": workspace.compose(),
            "train again": workspace.train(),
            "score again": workspace.score(),
            "evaluate": workspace.evaluate(),
        }
        yield workspace, done


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A workspace in which nothing is ever stored."""
    with mars.create(tmp_path_factory.mktemp("api") / "empty", progress=False) as workspace:
        yield workspace


@pytest.fixture
def workspace(tmp_path):
    with mars.create(tmp_path / "w", progress=False) as opened:
        yield opened


# ------------------------------------------------------------------------------------------------------------- import


def test_a_frame_is_imported_and_what_is_dropped_is_said(workspace):
    missing = pd.DataFrame([{"prompt": "p", "chosen": float("nan"), "rejected": "b"}])
    frame = pd.concat([some_pairs(3), some_pairs(1), missing])
    assert workspace.preview(frame, name="lamps").kept == 3
    assert len(workspace.pairs()) == 0
    done = workspace.import_pairs(frame, name="lamps")
    assert (done.rows_read, done.kept, done.already_present) == (5, 3, 0)
    assert sum(done.dropped.values()) == 2
    assert any("duplicate" in reason for reason in done.dropped)
    assert workspace.import_pairs(frame, name="lamps").already_present == 3
    pairs = workspace.pairs()
    assert pairs["chosen"].tolist() == some_pairs(3)["chosen"].tolist()
    assert pairs["prompt"][0] == [{"role": "user", "content": "Describe the red lamp on the table."}]
    assert set(pairs["dataset"]) == {"lamps"}


def test_a_table_gives_the_pairs_that_its_file_gives(workspace, tmp_path):
    import datasets

    frame = some_pairs(4)
    frame.to_json(tmp_path / "lamps.jsonl", orient="records", lines=True)
    assert workspace.import_pairs(tmp_path / "lamps.jsonl").kept == 4
    assert workspace.import_pairs(frame).already_present == 4
    assert workspace.import_pairs(datasets.Dataset.from_pandas(frame)).already_present == 4


def test_turns_in_a_frame_are_read_and_a_part_is_held_out(workspace):
    frame = some_pairs(8)
    for side in ("chosen", "rejected"):
        frame[side] = [[{"role": "assistant", "content": text}] for text in frame[side]]
    frame["prompt"] = [[{"role": "user", "content": text}] for text in frame["prompt"]]
    done = workspace.import_pairs(frame, holdout=0.5)
    assert [report.split for report in done.parts] == ["train", "heldout"]
    assert done.kept == 8
    assert set(workspace.pairs()["split"]) == {"train", "heldout"}


def test_columns_by_other_names_are_said(workspace):
    frame = some_pairs(2).rename(columns={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"})
    with pytest.raises(mars.MarsError, match="frage"):
        workspace.import_pairs(frame)
    named = {"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}
    assert workspace.import_pairs(frame, columns=named).kept == 2


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (pd.DataFrame(), "DataFrame"),
        (pd.DataFrame([["p", "a", "b"]], columns=["prompt", "chosen", "chosen"]), "several columns named 'chosen'"),
        (
            pd.DataFrame({"prompt": ["p"], "chosen": [float("nan")], "rejected": ["c"]}),
            "filled as that format",
        ),
        (["a", "b"], "a list is no source of pairs"),
        ("absent.jsonl", "absent.jsonl"),
    ],
)
def test_a_source_that_cannot_be_imported_is_said(empty, source, found):
    with pytest.raises(mars.MarsError, match=found):
        empty.import_pairs(source)
    assert len(empty.pairs()) == 0


def test_several_splits_at_once_are_said(empty):
    import datasets

    both = datasets.DatasetDict(train=datasets.Dataset.from_pandas(some_pairs(2)))
    with pytest.raises(mars.MarsError, match="DatasetDict is no source of pairs with the splits train"):
        empty.import_pairs(both)


# -------------------------------------------------------------------------------------------------------------- steps


def test_the_whole_method_step_by_step(finished):
    _, done = finished
    assert (done["import"].kept, done["heldout"].kept) == (8, 4)
    assert done["train"].metrics["training_pairs"] == 8
    assert done["propose"].proposals > 0
    assert done["compose"].new_pairs > 0
    assert done["train again"].metrics["training_pairs"] == 8 + done["compose"].new_pairs
    assert done["evaluate"].pairs == 4
    assert len(done["evaluate"].models) == 2


def test_frames_hold_what_the_store_holds(finished):
    workspace, done = finished
    margins, pairs, proposals = workspace.margins(), workspace.pairs(), workspace.proposals()
    assert margins["id"].tolist() == pairs["id"].tolist()
    assert len(pairs) == 12
    assert pairs["budget"].sum() == 8
    assert pairs["proposals"].sum() == len(proposals)
    assert "policy:accept-all" in set(workspace.history()["annotator"])
    with open_workspace_store(find_workspace(workspace.path)) as store:
        scores = store.models.scores(done["train again"].id)
    expected = [scores[pair_id][0] - scores[pair_id][1] for pair_id in margins["id"]]
    assert margins["margin"].tolist() == pytest.approx(expected, abs=1e-5)
    assert margins.attrs["model"] == done["train again"].label


def test_each_step_is_recorded_as_a_run(finished):
    runs = runs_of(finished[0])
    assert {run.state for run in runs} == {"finished"}
    assert {"import", "train", "score", "propose", "review", "compose", "evaluate"} == {run.kind for run in runs}


def test_a_step_that_fails_is_recorded_with_its_error(workspace):
    with pytest.raises(mars.MarsError, match="no training pairs"):
        workspace.train()
    (run,) = runs_of(workspace)
    assert (run.kind, run.state) == ("train", "failed")


def test_an_export_and_a_dataset_are_the_same_rows(finished, tmp_path):
    workspace, done = finished
    written = workspace.export(tmp_path / "train.parquet", shape="standard")
    made = workspace.export_dataset(shape="standard")
    assert written.rows == len(made) == 8 + done["compose"].new_pairs
    assert made.to_pandas().equals(pd.read_parquet(tmp_path / "train.parquet"))
    with pytest.raises(mars.MarsError, match="exists"):
        workspace.export(tmp_path / "train.parquet")
    with pytest.raises(mars.MarsError, match="there is no what 'all'"):
        workspace.export_dataset(what="all")
    with pytest.raises(mars.MarsError, match=r"shape.*'round'"):
        workspace.export_dataset(shape="round")


def test_a_figure_needs_its_map_and_says_how_to_make_it(finished):
    workspace, _ = finished
    assert len(workspace.figure("plane").data) > 0
    with pytest.raises(mars.MarsError, match=r'no map of the prompt yet.*run workspace\.map\("prompt"\) first'):
        workspace.figure("map", of="prompt")


def test_what_steps_return_shows_itself_in_a_notebook(finished):
    workspace, done = finished
    for result in [*done.values(), workspace.status()]:
        assert "<table" in result._repr_html_()
    assert "<table" in workspace._repr_html_()


def test_a_person_decides_under_their_name_all_or_none(finished):
    workspace, _ = finished
    first, second = workspace.proposals()["id"][:2]
    before = workspace.history()
    with pytest.raises(mars.MarsError, match="there is no proposal nowhere"):
        workspace.review({first: "reject", "nowhere": "accept"}, reviewer="Ada")
    with pytest.raises(mars.MarsError, match="flip"):
        workspace.review({first: "reject", second: "flip"}, reviewer="Ada")
    with pytest.raises(mars.MarsError, match="name"):
        workspace.review({first: "reject"}, reviewer=" ")
    assert len(workspace.history()) == len(before)
    done = workspace.review({first: "reject", second: "accept"}, reviewer="Ada")
    assert (done.accepted_now, done.rejected_now) == (1, 1)
    standing = workspace.proposals().set_index("id")
    assert standing["status"][[first, second]].tolist() == ["rejected", "accepted"]
    assert standing["decided_by"][first] == ["Ada"]


def test_labels_are_checked_by_a_frame_all_or_none(workspace):
    workspace.import_pairs(some_pairs(3))
    first, second = workspace.pairs()["id"][:2]
    with pytest.raises(mars.MarsError, match="there is no pair nowhere"):
        workspace.check({first: "flip", "nowhere": "drop"}, reviewer="Ada")
    assert len(workspace.history()) == 0
    decided = pd.DataFrame({"id": [first, second], "action": ["flip", "drop"], "note": ["swapped", None]})
    assert workspace.check(decided, reviewer="Ada").decided == {"flip": 1, "drop": 1}
    assert workspace.pairs()["decision"].tolist() == ["flip", "drop", ""]
    with pytest.raises(mars.MarsError, match="decided about twice"):
        workspace.check(pd.concat([decided, decided]), reviewer="Ada")
    assert workspace.history()["item_id"].tolist() == [first, second]


def test_a_flipped_pair_comes_back_as_the_reverse_of_its_source_and_is_said(workspace):
    workspace.import_pairs(some_pairs(3), name="lamps")
    flipped = workspace.pairs()["id"][0]
    workspace.check({flipped: "flip"}, reviewer="Ada")
    again = workspace.import_pairs(workspace.export_dataset(), name="again")
    assert (again.kept, again.already_present) == (1, 2)
    pairs = workspace.pairs().set_index("id")
    new = pairs[pairs["dataset"] == "again"].iloc[0]
    assert [new.chosen, new.rejected] == pairs.loc[flipped, ["rejected", "chosen"]].tolist()
    found = {finding["kind"]: finding for finding in again.findings["all"]}["contradictions"]
    assert {each["pair_id"] for each in found["examples"]} == {flipped, new.name}


# ------------------------------------------------------------------------------------------------ open, close, settings


def test_a_workspace_is_opened_again_with_its_settings_and_closed(tmp_path):
    mars.create(tmp_path / "w", settings={"allocation": {"law": "fisher"}}, progress=False).close()
    with mars.open(str(tmp_path / "w")) as workspace:
        assert find_workspace(workspace.path).config.allocation.law == "fisher"
        assert len(workspace.history()) == len(workspace.proposals()) == len(workspace.pairs()) == 0
    workspace.close()


CALLS = {
    "pairs": lambda w: w.pairs(),
    "status": lambda w: w.status(),
    "import": lambda w: w.import_pairs(some_pairs(1)),
    "preview": lambda w: w.preview(some_pairs(1)),
    "train": lambda w: w.train(),
    "plan": lambda w: w.plan(),
    "check": lambda w: w.check({"p": "flip"}, reviewer="Ada"),
    "review": lambda w: w.review(policy="gates"),
    "history": lambda w: w.history(),
    "export": lambda w: w.export_dataset(),
    "figure": lambda w: w.figure(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_closed_workspace_does_nothing_more(tmp_path, call):
    workspace = mars.create(tmp_path / "w", progress=False)
    workspace.close()
    with pytest.raises(mars.MarsError, match=r"is closed.*mars\.open"):
        call(workspace)
    assert not runs_of(workspace)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda w: w.score(), "no reward model is trained yet"),
        (lambda w: w.margins(), "no model has scored the pairs yet"),
        (lambda w: w.plan(law="steep"), "there is no law 'steep'"),
        (lambda w: w.plan(budget=0), "budget is 0"),
        (lambda w: w.review(), "no decisions and no policy"),
        (lambda w: w.review(policy="people"), "there is no policy 'people'"),
        (lambda w: w.review(policy="gates"), "no proposals"),
        (lambda w: w.compose(), "no plan to compose by"),
        (lambda w: w.retry(), "nothing was proposed yet"),
        (lambda w: w.retry("some"), "there is no failures 'some'"),
        (lambda w: w.rounds(0), "n is 0"),
        (lambda w: w.best_of_n(answers="answers.jsonl", most_prompts=-1), "most_prompts is -1"),
        (lambda w: w.rounds(1, policy="me"), "there is no policy 'me'"),
        (lambda w: w.map("colour"), "there is no of 'colour'"),
        (lambda w: w.figure("pie"), "there is no show 'pie'"),
        (lambda w: w.import_pairs(some_pairs(1), split="test"), "there is no split 'test'"),
        (lambda w: w.import_pairs(some_pairs(1), holdout=2), "holdout is 2"),
        (lambda w: w.import_pairs(some_pairs(1), columns={"question": "prompt"}), "columns names 'question'"),
        (lambda w: w.check({"p": 3}, reviewer="Ada"), "3 is no decision"),
        (lambda w: w.train(settings={"alocation": {}}), "alocation.*allocation"),
        (lambda w: w.train(settings={"allocation": {"law": "steep"}}), "settings.*law"),
        (lambda w: w.train(settings={"allocation": "fisher"}), "allocation='fisher'"),
        (lambda w: w.train(settings="fisher"), "settings: 'fisher' is no mapping"),
        (lambda w: w.plan(budget=3, settings={"allocation": "fisher"}), "allocation='fisher'"),
        (lambda w: mars.create(w.path), "is a workspace already"),
        (lambda w: mars.open(w.path / "elsewhere"), "is not a workspace"),
    ],
)
def test_what_cannot_be_done_is_said(empty, call, found):
    with pytest.raises(mars.MarsError, match=found):
        call(empty)


def test_progress_is_shown_unless_it_is_off(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mars_engine.core.progress.SECONDS_BETWEEN_LINES", 0.0)
    with mars.create(tmp_path / "loud") as workspace:
        workspace.import_pairs(some_pairs(2), name="lamps")
    assert "read lamps" in capsys.readouterr().err
    with mars.create(tmp_path / "quiet", progress=False) as workspace:
        workspace.import_pairs(some_pairs(2), name="lamps")
    assert capsys.readouterr().err == ""
