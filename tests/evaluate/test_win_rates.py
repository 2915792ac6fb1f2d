"""Win rates that are kept: a matrix for each judge, people among them, and the report's table."""

import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.align.alpaca.evaluation import evaluate_policies
from mars_engine.align.alpaca.formats import ModelOutputs, Output
from mars_engine.align.alpaca.judges import Verdict
from mars_engine.align.blind.comparing import begin_comparison, sheet_of
from mars_engine.align.blind.votes import take_votes
from mars_engine.core.config import EvaluateConfig
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.evaluate.report import gather_report
from mars_engine.evaluate.report_page import render_report
from mars_engine.evaluate.win_rates import PEOPLE, kept_win_rates, win_rate_matrices

CONFIG = EvaluateConfig(resamples=200)
PROMPTS = 8


class LongerWins:
    """Prefers the longer answer."""

    id, name, note, sees_order = "longer", "longer wins", "by length", False

    def judge(self, pairs):
        said = [float(len(pair.policy) > len(pair.baseline)) for pair in pairs]
        return [Verdict(each, each) for each in said]


def outputs(name: str, text: str) -> ModelOutputs:
    return ModelOutputs(name, tuple(Output(f"say {number}", f"{text} {number}") for number in range(PROMPTS)))


@pytest.fixture
def bench():
    made = make_bench()
    yield made
    made.store.close()


def compare(bench, *, votes, ends=True):
    sides = (sheet_of(outputs("base", "plain")), sheet_of(outputs("<b>tuned</b>", "better")))
    comparison = begin_comparison(bench.store, *sides, source="a file", seed=1, made_by="ann", clock=bench.clock)
    said = {"comparison": comparison.id, "annotator": "ann"}
    log = [{**said, "sequence": number + 1, "number": number, "action": vote} for number, vote in enumerate(votes)]
    if ends:
        log.append({**said, "sequence": 99, "action": "reveal"})
    take_votes(bench.store, comparison, annotator="ann", log=log, clock=bench.clock)
    return comparison


def test_a_comparison_that_nobody_has_ended_is_not_told(bench):
    compare(bench, votes=["tie"] * 3, ends=False)
    assert kept_win_rates(bench.store, config=CONFIG) == ()


def test_judges_and_people_have_a_matrix_each(bench, tmp_path):
    tuned, other = outputs("<b>tuned</b>", "better by far"), outputs("other", "x")
    evaluate_policies(
        [tuned, other], outputs("base", "plain"), LongerWins(), prompts="8 prompts of base.json", root=tmp_path,
        artifacts="artifacts", store=bench.store, clock=bench.clock, config=CONFIG,
    )  # fmt: skip
    compare(bench, votes=["tie"] * 3)
    by_judge, by_people = win_rate_matrices(kept_win_rates(bench.store, config=CONFIG))
    assert (by_judge.judge, by_people.judge) == ("longer wins", PEOPLE)
    assert set(by_judge.policies) == {"<b>tuned</b>", "other", "base"}
    rates = {pair: cell.win_rate for pair, cell in by_judge.cells.items()}
    assert rates == {
        ("<b>tuned</b>", "base"): 100,
        ("base", "<b>tuned</b>"): 0,
        ("other", "base"): 0,
        ("base", "other"): 100,
    }
    assert by_judge.prompts == ("8 prompts of base.json",)
    assert by_judge.missing == 0


def test_peoples_votes_make_a_matrix_with_both_directions(bench):
    compare(bench, votes=["tie"] * 3 + ["left"] * 2)
    (found,) = kept_win_rates(bench.store, config=CONFIG)
    assert (found.judge, found.judged, found.missing, found.prompts) == (PEOPLE, 5, 3, "a file")
    (matrix,) = win_rate_matrices([found])
    assert matrix.policies == ("<b>tuned</b>", "base")
    one, other = matrix.cells["<b>tuned</b>", "base"], matrix.cells["base", "<b>tuned</b>"]
    assert one.win_rate + other.win_rate == pytest.approx(100)
    assert (other.low, other.high) == (pytest.approx(100 - one.high), pytest.approx(100 - one.low))
    assert matrix.missing == 3
    assert ("base", "base") not in matrix.cells


def test_the_report_tells_them_and_interprets_no_name(bench):
    import_pairs(ListSource(make_pairs(5)), bench.store, split="train", clock=bench.clock, progress=bench.progress)
    compare(bench, votes=["tie"] * PROMPTS)
    content = gather_report(
        bench.store, PairIndexCache(bench.store).current(), workspace="w", config=bench.config, versions={"MARS": "1"},
        clock=bench.clock,
    )  # fmt: skip
    html = render_report(content)
    assert "Policies compared" in html
    assert "50.0% (50.0 – 50.0%)" in html
    assert "&lt;b&gt;tuned&lt;/b&gt;" in html
    assert "<b>tuned" not in html
