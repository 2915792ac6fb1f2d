"""Best-of-n in a workspace on fakes: which prompts, which models, and who judges."""

import json

import pytest
from fakes import BAD, GOOD, ListSource, make_bench, make_pairs

from mars_engine.align.blind.sheets import load_sheet
from mars_engine.align.prompts import TRAINED_ON
from mars_engine.core.errors import ConfigError, ModelError, NotReadyError
from mars_engine.data.import_pairs import import_pairs
from mars_engine.workspace.best_of_n import PICKS, RESULTS_FILE, BestOfNRequest, run_best_of_n
from mars_engine.workspace.rounds import train_warm_up


@pytest.fixture
def bench():
    bench = make_bench()
    for split, pairs in (("train", make_pairs(40)), ("heldout", make_pairs(5, first=40))):
        source = ListSource(pairs, name=split)
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    train_warm_up(bench)
    yield bench
    bench.store.close()


def write_answers(path, pairs, *, scored=True):
    """Write four answers to each pair's prompt; the better ones have more good words."""
    rows = []
    for pair in pairs:
        answers = [
            {"text": " ".join([*GOOD[:good], *BAD[good:]])} | ({"preference": good} if scored else {})
            for good in (2, 0, 5, 3)
        ]
        rows.append({"prompt": pair.prompt[0].content, "responses": answers})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_picks_of_the_workspaces_models_are_judged_on_prompts_that_they_have_not_seen(bench, tmp_path):
    answers = write_answers(tmp_path / "a.jsonl", (*make_pairs(3), *make_pairs(6, first=100)))
    found = run_best_of_n(bench, tmp_path, BestOfNRequest(answers=answers, n=4))
    (probe, longest, oracle) = found.report.curves
    assert (longest.selector, oracle.selector) == ("longest", "oracle")
    assert probe.points[-1].judged.estimate == oracle.points[-1].judged.estimate == 5
    assert (found.report.prompts, found.report.left_out) == (6, {TRAINED_ON: 3})
    assert json.loads((found.folder / RESULTS_FILE).read_text())["prompts"] == 6
    sheets = [load_sheet(path) for path in sorted((found.folder / PICKS).iterdir())]
    assert [sheet.name.rpartition(", ")[2] for sheet in sheets] == [
        "one answer", "best of 4 by warm-up", "best of 4 by longest", "best of 4 by oracle",
    ]  # fmt: skip
    assert set(sheets[1].answers.values()) == {" ".join(GOOD)}
    assert set(sheets[0].answers.values()) == {" ".join([*GOOD[:2], *BAD[2:]])}
    again = run_best_of_n(bench, tmp_path, BestOfNRequest(answers=answers, n=4))
    assert (again.id, again.report) == (found.id, found.report)
    fewer = run_best_of_n(bench, tmp_path, BestOfNRequest(answers=answers, n=4, most_prompts=2))
    assert (fewer.report.prompts, fewer.id == found.id) == (2, False)
    everything = run_best_of_n(bench, tmp_path, BestOfNRequest(answers=answers, n=4, include_trained=True))
    assert (everything.report.prompts, everything.report.left_out) == (9, {})


def test_a_model_of_the_workspace_may_judge_and_what_it_has_seen_is_said(bench, tmp_path):
    (model,) = bench.store.models.all()
    answers = write_answers(tmp_path / "a.jsonl", make_pairs(5), scored=False)
    request = BestOfNRequest(answers=answers, n=4, judge=model.id, models=(model.label,), include_trained=True)
    report = run_best_of_n(bench, tmp_path, request).report
    assert report.judge == model.label
    assert any("5 of 5 prompts are among those that the judge" in remark for remark in report.remarks)
    assert any("is not independent: it learned from pairs of" in remark for remark in report.remarks)
    with pytest.raises(ModelError, match=r"no reward model .other."):
        run_best_of_n(bench, tmp_path, BestOfNRequest(answers=answers, n=4, judge=model.id, models=("other",)))


def test_without_a_judge_or_a_model_nothing_is_done(bench, tmp_path):
    answers = write_answers(tmp_path / "a.jsonl", make_pairs(3, first=100), scored=False)
    with pytest.raises(ConfigError, match=r"nobody judges.*--judge"):
        run_best_of_n(bench, tmp_path, BestOfNRequest(answers=answers, n=4))
    with pytest.raises(NotReadyError, match="no reward model is trained"):
        run_best_of_n(make_bench(), tmp_path, BestOfNRequest(answers=answers, n=4))
    with pytest.raises(ConfigError, match="no policy is named"):
        run_best_of_n(bench, tmp_path, BestOfNRequest())
