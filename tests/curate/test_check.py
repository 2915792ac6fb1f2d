"""What is at stake while suspected mislabels are unchecked."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.core.config import AllocationConfig, MarsConfig
from mars_engine.curate.check import check_figures
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import DECISION_CODES, VERDICT_CODES, PairIndex, PairIndexCache

CONFIG = MarsConfig(allocation=AllocationConfig(tau=1.0, budget_per_pair=10))
MARGINS = np.array([-2, -1, -1, 0, 1, 2, 0, 0], dtype=np.float32)


@pytest.fixture(scope="module")
def empty_index() -> PairIndex:
    bench = make_bench()
    for pairs, split in ((make_pairs(8), "train"), (make_pairs(2, seed=1, first=100), "heldout")):
        import_pairs(ListSource(pairs), bench.store, split=split, clock=bench.clock, progress=bench.progress)
    return PairIndexCache(bench.store).current()


def an_index(empty_index: PairIndex, *, suspects=(), margins=MARGINS, **decisions: str) -> PairIndex:
    """The first eight pairs with these margins and suspicions; `p3="flip"` decides about the fourth."""
    verdict, decision = np.zeros(10, dtype=np.int16), np.zeros(10, dtype=np.int16)
    verdict[list(suspects)] = VERDICT_CODES.index("suspected")
    for name, label in decisions.items():
        decision[int(name[1:])] = DECISION_CODES.index(label)
    column = np.append(margins, [-50, -50]).astype(np.float32)  # held-out pairs never matter
    return replace(empty_index, verdict=verdict, decision=decision, margin=column)


def softmax(margins) -> np.ndarray:
    weights = np.exp(-np.array(margins, dtype=float))
    return weights / weights.sum()


def test_nothing_known_is_nothing_at_stake(empty_index):
    figures = check_figures(empty_index, CONFIG)
    assert (figures.suspects, figures.open, figures.open_share, figures.mislabel_rate) == (0, 0, None, None)
    assert (figures.new_pairs_at_risk, figures.new_pairs_saved) == (0, 0)
    assert figures.budget == 80


def test_the_share_of_open_suspects_is_what_the_law_would_give_them(empty_index):
    figures = check_figures(an_index(empty_index, suspects=(0, 1, 8)), CONFIG)
    assert (figures.suspects, figures.open) == (2, 2)
    assert figures.open_share == pytest.approx(softmax(MARGINS)[:2].sum())
    assert figures.mislabel_rate is None


def test_the_share_falls_with_every_decision_about_a_suspect(empty_index):
    shares = []
    for decisions in (
        {},
        {"p0": "drop"},
        {"p0": "drop", "p1": "flip"},
        {"p0": "drop", "p1": "flip", "p2": "label_right"},
    ):
        shares.append(check_figures(an_index(empty_index, suspects=(0, 1, 2), **decisions), CONFIG).open_share)
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0
    # Dropped pairs get nothing, and a flipped one's margin is the other way round.
    assert shares[2] == pytest.approx(softmax([1, -1, 0, 1, 2, 0, 0])[1])


def test_what_suspects_turned_out_to_be_and_what_is_left(empty_index):
    found = {"p0": "flip", "p1": "drop", "p2": "label_right", "p3": "ambiguous", "p4": "disputed", "p7": "drop"}
    figures = check_figures(an_index(empty_index, suspects=range(7), **found), CONFIG)
    assert figures.outcomes == {"label_right": 1, "flip": 1, "drop": 1, "ambiguous": 1}
    assert figures.open == 3
    assert figures.mislabel_rate.estimate == 0.5
    # Wilson's interval for 2 of 4.
    assert (figures.mislabel_rate.low, figures.mislabel_rate.high) == pytest.approx((0.150, 0.850), abs=5e-4)
    assert figures.new_pairs_saved == round(80 * softmax(MARGINS)[:2].sum())
    assert figures.new_pairs_at_risk == round(80 * figures.open_share / 2)


def test_pairs_without_a_margin_get_no_share(empty_index):
    margins = np.where(np.arange(8) < 4, MARGINS, np.nan)
    figures = check_figures(an_index(empty_index, suspects=(0, 7), margins=margins), CONFIG)
    assert figures.open == 2
    assert figures.open_share == pytest.approx(softmax(MARGINS[:4])[0])


def test_the_budget_is_the_configured_one(empty_index):
    config = MarsConfig(allocation=AllocationConfig(budget=123, law="uniform"))
    figures = check_figures(an_index(empty_index, suspects=(0, 1)), config)
    assert (figures.budget, figures.open_share) == (123, pytest.approx(2 / 8))
