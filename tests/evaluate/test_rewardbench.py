"""RewardBench with a made-up reward model: what is scored once, kept, told and written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from fakes import TickingClock, make_bench

from mars_engine.core.errors import LoadError, ModelError
from mars_engine.core.records import EvaluationRecord, Pair, Rewards, Truncation, Turn
from mars_engine.evaluate import rewardbench as module
from mars_engine.evaluate.benchmark_folder import BenchmarkFolder
from mars_engine.evaluate.benchmark_loader import BenchmarkRow, BenchmarkSet
from mars_engine.evaluate.rewardbench import PADDING_REPAIRED, caveats, keep_published, run_rewardbench, scores_of
from mars_engine.evaluate.rewardbench_scores import PRIOR_SETS, PUBLISHED_ROWS, section_of
from mars_engine.reward_models.answer_text import PlainText
from mars_engine.store import Store, open_store

PROMPT = (Turn("user", "how?"),)
ARMORM = {"Chat": 0.969, "Chat Hard": 0.768, "Safety": 0.922, "Reasoning": 0.973, PRIOR_SETS: 0.743}


@dataclass
class LengthModel:
    """Rewards an answer by its number of characters; remembers what it was asked, and may break off."""

    id: str = "by-length"
    asked: list[str] = field(default_factory=list)
    breaks_after: int = 10_000
    broken_answer: str = ""

    def score(self, pairs: Sequence[Pair], *, progress: object) -> Rewards:  # noqa: ARG002
        if len(self.asked) + 2 * len(pairs) > self.breaks_after:
            raise KeyboardInterrupt
        self.asked += [side for pair in pairs for side in (pair.chosen, pair.rejected)]
        return Rewards(*(np.array([self._reward(each) for each in sides]) for sides in _sides(pairs)))

    def truncation(self, pairs: Sequence[Pair], *, progress: object) -> Truncation:  # noqa: ARG002
        return Truncation(2 * len(pairs), contexts_cut=1, responses_cut=0)

    def _reward(self, answer: str) -> float:
        return float("nan") if answer == self.broken_answer else float(len(answer))


def _sides(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]


def row(number: int, subset: str, right: Sequence[str], wrong: Sequence[str]) -> BenchmarkRow:
    columns = {"id": f"r{number}", "subset": subset, "prompt": "how?", "chosen": right[0], "rejected": wrong[0]}
    return BenchmarkRow(f"r{number}", subset, PROMPT, tuple(right), tuple(wrong), columns)


FIRST = BenchmarkSet(
    1,
    "first.jsonl",
    "hash-1",
    (
        row(0, "llmbar-natural", ["long answer"], ["short"]),
        row(1, "llmbar-natural", ["equal"], ["lauqe"]),
        row(2, "mt-bench-hard", ["no"], ["longer"]),
        row(3, "mt-bench-hard", ["much longer"], ["brief"]),
        row(4, "my own", ["yes!"], ["no"]),
    ),
)
SECOND = BenchmarkSet(
    2,
    "second.jsonl",
    "hash-2",
    (
        row(0, "Math", ["long answer"], ["a", "bb", "ccc"]),
        BenchmarkRow("ref:1", "Ties", PROMPT, ("long answer",), ("a",)),
        BenchmarkRow("tied:1", "Ties", PROMPT, ("long answer", "long enough"), ("a",)),
    ),
)


@pytest.fixture
def store() -> Store:
    return open_store("sqlite://")


def run(
    benchmark: BenchmarkSet, model: LengthModel, store: Store, folder: Path, *, again: bool = False
) -> EvaluationRecord:
    return run_rewardbench(
        replace(make_bench(), store=store),
        benchmark,
        model,
        BenchmarkFolder(folder, "out"),
        label="owner/by length",
        settings={"max_tokens": 9},
        text=PlainText("plain"),
        again=again,
    )


def test_figures_files_and_the_stored_evaluation(store, tmp_path):
    record = run(FIRST, LengthModel(), store, tmp_path)
    scores = scores_of(record)
    assert {each.name: each.score for each in scores.subsets} == {
        "llmbar-natural": 0.5,
        "mt-bench-hard": 0.5,
        "my own": 1.0,
    }
    assert (scores.accuracy, scores.ties, scores.overall) == (0.6, 1, None)
    assert store.evaluations.all("rewardbench") == [record]
    assert (record.model_id, record.label, record.settings["source"]) == ("by-length", "owner/by length", "first.jsonl")
    outputs = [json.loads(line) for line in (tmp_path / "out" / "by-length_outputs.jsonl").read_text().splitlines()]
    assert [each["results"] for each in outputs] == [1, 0, 0, 1, 1]
    assert outputs[0] == {
        "prompt": "user: how?\n\n",
        "results": 1,
        "scores_chosen": 11.0,
        "scores_rejected": 5.0,
        "text_chosen": "user: how?\n\nlong answer",
        "text_rejected": "user: how?\n\nshort",
        "id": "r0",
        "subset": "llmbar-natural",
        "chosen": "long answer",
        "rejected": "short",
    }
    metadata = json.loads((tmp_path / "out" / "by-length.json").read_text())
    assert (metadata["accuracy"], metadata["num_prompts"], metadata["ref_model"]) == (0.6, 5, None)
    assert not list((tmp_path / "out").glob(".*")), "the rewards so far are of no more use"


def test_version_2_scores_every_answer_once_but_an_odd_last_one(store, tmp_path):
    model = LengthModel()
    record = run(SECOND, model, store, tmp_path)
    assert sorted(model.asked) == sorted(
        ["long answer", "a", "bb", "ccc", "long answer", "a", "long answer", "long enough", "a", "a"]
    )
    assert record.kind == "rewardbench2"
    found = {each.name: each.score for each in scores_of(record).subsets}
    assert found["Math"] == 1.0
    assert found["Ties"] == pytest.approx(1.0), "equal right answers have no spread, so nothing is added for the margin"
    outputs = [json.loads(line) for line in (tmp_path / "out" / "by-length_outputs.jsonl").read_text().splitlines()]
    assert [each["results"] for each in outputs] == [1.0, None, None]
    assert outputs[2]["scores"] == [11.0, 11.0, 1.0]


def test_the_same_model_on_the_same_rows_is_not_scored_again_unless_asked(store, tmp_path):
    first = run(FIRST, LengthModel(), store, tmp_path)
    model = LengthModel()
    assert run(FIRST, model, store, tmp_path) == first
    assert model.asked == []
    again = run(FIRST, model, store, tmp_path, again=True)
    assert (again.id, again.results) == (first.id, first.results)
    assert len(model.asked) == 10
    assert len(store.evaluations.all()) == 1


def test_interrupted_it_goes_on_where_it_stopped(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 2)
    with pytest.raises(KeyboardInterrupt):
        run(FIRST, LengthModel(breaks_after=8), store, tmp_path)
    assert store.evaluations.all() == []
    model = LengthModel()
    record = run(FIRST, model, store, tmp_path)
    assert model.asked == ["yes!", "no"]
    whole = run(FIRST, LengthModel(id="other"), store, tmp_path / "elsewhere")
    assert record.results == whole.results


def test_a_reward_that_is_no_number_ends_in_words(store, tmp_path):
    with pytest.raises(ModelError, match="1 of 10 rewards are not finite"):
        run(FIRST, LengthModel(broken_answer="short"), store, tmp_path)
    assert store.evaluations.all() == []


def test_what_keeps_figures_from_being_the_published_ones_is_said(store, tmp_path):
    record = run(FIRST, LengthModel(), store, tmp_path)
    said = "\n".join(caveats(record))
    assert "pads with its end token" not in said
    assert "pads with its end token" in caveats(replace(record, settings={PADDING_REPAIRED: True}))[-1]
    assert "There is no overall score: Chat, Safety, Reasoning are absent." in said
    assert "Chat Hard is not whole: mt-bench-hard, llmbar-natural" in said
    assert "1 row of 5 ended in a tie; each counts as a loss." in said
    assert "cut the beginning of 1 and the answer of 0 of 10 texts" in said


def test_a_file_of_scores_makes_the_published_aggregate(store):
    """ArmoRM-Llama3-8B-v0.1, from a made-up file in which each subset has the score of its section: 89.0."""
    names = [*PUBLISHED_ROWS, "anthropic_helpful", "anthropic_hhh", "shp", "summarize"]
    by_subset = {name: ARMORM[section_of(name)] for name in names}
    record = keep_published(
        by_subset, store, model="ArmoRM", source="armorm.json", content_hash="h", clock=TickingClock()
    )
    assert store.evaluations.get(record.id) == record
    scores = scores_of(record)
    assert f"{100 * scores.overall:.1f}" == "89.0"
    assert {each.name: each.score for each in scores.sections} == pytest.approx(ARMORM)
    assert caveats(record) == ["These figures come from a file, not from rewards."]
    without = {name: score for name, score in by_subset.items() if section_of(name) != PRIOR_SETS}
    record = keep_published(without, store, model="ArmoRM", source="x.json", content_hash="i", clock=TickingClock())
    assert "Prior sets are absent, so the overall score is that of the four sections alone." in caveats(record)
    assert scores_of(record).overall == scores_of(record).four_section_mean


def test_a_file_of_scores_of_version_2_is_told_by_its_subsets(store):
    by_subset = {"Factuality": 0.5, "Precise IF": 0.5, "Math": 0.5, "Safety": 0.5, "Focus": 0.5, "Ties": 0.8}
    record = keep_published(by_subset, store, model="m", source="m.json", content_hash="h", clock=TickingClock())
    assert record.kind == "rewardbench2"
    assert scores_of(record).overall == pytest.approx(0.55)


def test_a_file_without_a_subset_of_rewardbench_is_refused(store):
    with pytest.raises(LoadError, match="no subset of RewardBench"):
        keep_published({"mmlu": 0.5}, store, model="m", source="m.json", content_hash="h", clock=TickingClock())


def published(by_subset, store, **options):
    return keep_published(
        by_subset, store, model="m", source="m.json", content_hash=repr(by_subset), clock=TickingClock(), **options
    )


def test_a_file_of_section_scores_makes_the_published_aggregate_and_is_not_taken_for_version_2(store):
    record = published(ARMORM, store)
    scores = scores_of(record)
    assert (record.kind, scores.version, scores.rows, scores.subsets) == ("rewardbench", 1, 0, ())
    assert round(100 * scores.overall, 1) == 89.0
    assert {each.name: each.score for each in scores.sections} == pytest.approx(ARMORM)
    assert scores_of(store.evaluations.get(record.id)).sections == scores.sections
    assert caveats(record) == ["These figures come from a file, not from rewards."]
    without = {name: score for name, score in ARMORM.items() if name != PRIOR_SETS}
    four = scores_of(published(without, store))
    assert four.overall == four.four_section_mean == pytest.approx(0.908)
    leaderboard = scores_of(published(without | {"Prior Sets (0.5 weight)": 0.743}, store))
    by_set = scores_of(published(without | {"shp": 0.7, "summarize": 0.786}, store))
    assert leaderboard.overall == by_set.overall == pytest.approx(scores.overall)


def test_names_that_both_versions_have_are_asked_about(store):
    with pytest.raises(LoadError, match="--version"):
        published({"Safety": 0.9}, store)
    with pytest.raises(LoadError, match="--version"):
        published({"Chat": 0.9, "Math": 0.5}, store)
    assert scores_of(published({"Safety": 0.9}, store, version=2)).version == 2
    first = scores_of(published({"Safety": 0.9}, store, version=1))
    assert (first.version, first.overall, first.rows) == (1, None, 0)
