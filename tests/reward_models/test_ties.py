"""Ties by one rule, 0.5, and pairs whose two sides are the same to the model: named, and without budget."""

from io import StringIO

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs
from rich.console import Console

from mars_engine.augment.plan import make_plan
from mars_engine.augment.training_forecast import budget_outlook
from mars_engine.cli import printing
from mars_engine.core.config import MarsConfig, TriageConfig
from mars_engine.core.records import Pair
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import VERDICT_CODES, PairIndexCache
from mars_engine.explore.explorer import Explorer
from mars_engine.explore.view import read_view
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up


class NoMaps:
    def load(self, kind):  # noqa: ARG002
        return None


@pytest.fixture
def bench():
    """Of 16 pairs, 6 differ in what the encoder does not read: the order of their words, as after a truncation."""
    made = make_bench(MarsConfig(triage=TriageConfig(policy="ask", seeds=2, folds=3)))
    whole = make_pairs(10)
    same = [
        Pair.of(pair.prompt, f"{number} {pair.chosen}", f"{pair.chosen} {number}")
        for number, pair in enumerate(make_pairs(6, first=10))
    ]
    import_pairs(ListSource((*whole, *same)), made.store, split="train", clock=made.clock, progress=made.progress)
    return made


def test_training_and_scoring_say_the_same_of_ties(bench):
    model = train_warm_up(bench)
    score = score_model(bench, model)
    assert model.metrics["training_accuracy"] == pytest.approx(score.train.accuracy)
    assert model.metrics["indistinct_pairs"] == 6
    assert score.verdicts["indistinct"] == 6
    shown = StringIO()
    console = Console(file=shown, width=200, markup=False)
    printing.show_model(console, model)
    printing.show_score(console, score)
    assert shown.getvalue().count("6 pairs have two sides each that are the same to the model") == 2


@pytest.mark.parametrize("law", ["signed", "absolute", "fisher", "uniform"])
def test_what_is_indistinct_gets_no_budget(bench, law):
    model = train_warm_up(bench)
    score_model(bench, model)
    plan = make_plan(bench, model, law=law).plan
    index = PairIndexCache(bench.store).current()
    indistinct = index.verdict == VERDICT_CODES.index("indistinct")
    assert indistinct.sum() == 6
    assert plan.budget > 0
    rows = bench.store.proposals.plan_rows(plan.id)
    names = {pair_id.decode() for pair_id in index.ids[indistinct].tolist()}
    assert sum(row.budget for row in rows if row.pair_id in names) == 0
    assert sum(row.budget for row in rows) == plan.budget


def test_the_forecast_gives_them_none_either(bench):
    score_model(bench, train_warm_up(bench))
    outlook = budget_outlook(PairIndexCache(bench.store).current(), bench.config)
    assert outlook is not None
    assert outlook.receivers <= 10


def test_a_link_selects_them_in_explore(bench):
    score_model(bench, train_warm_up(bench))
    view = read_view({"verdict": ["indistinct"]}).view
    assert view.verdicts == ("indistinct",)
    explorer = Explorer(bench.store, PairIndexCache(bench.store), NoMaps(), lambda _texts: np.ones((1, 5)))
    assert int(explorer.look(view).selected.sum()) == 6
