"""Held-out pairs in RewardBench's manner: a tie is a loss, sections weigh alike, half-scored models are left out."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.core.config import MarsConfig
from mars_engine.core.records import Rewards
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.evaluate import heldout_sections
from mars_engine.evaluate.heldout_sections import score_sections
from mars_engine.reward_models.train import train_warm_up

SIZES = {"writing": 4, "safety": 2}


@pytest.fixture
def bench():
    bench = make_bench(MarsConfig())
    named = [name for name, size in SIZES.items() for _ in range(size)] + [""]
    heldout = [replace(pair, subset=name) for pair, name in zip(make_pairs(len(named), first=900), named, strict=True)]
    for split, pairs in (("train", make_pairs(40)), ("heldout", heldout)):
        import_pairs(ListSource(tuple(pairs)), bench.store, split=split, clock=bench.clock, progress=bench.progress)
    train_warm_up(bench)
    return bench


def scored(bench, monkeypatch, margins):
    """Score by these margins, in the order of the held-out pairs."""
    chosen = np.array(margins, dtype=np.float64)
    rewards = Rewards(chosen, np.where(np.isnan(chosen), chosen, 0.0))
    monkeypatch.setattr(heldout_sections, "stored_rewards", lambda *_: rewards)
    return score_sections(bench.store, PairIndexCache(bench.store).current(), bench.store.models.all())


def test_a_tie_is_a_loss_and_sections_weigh_alike(bench, monkeypatch):
    (model,) = scored(bench, monkeypatch, [1, 1, 0, -1, 1, 1, -9]).models
    assert {each.name: (each.score, each.rows, each.ties) for each in model.sections} == {
        "writing": (0.5, 4, 1),
        "safety": (1.0, 2, 0),
    }
    assert (model.overall, model.rows, model.ties) == (0.75, 6, 1)


def test_a_model_that_has_not_scored_all_is_left_out(bench, monkeypatch):
    assert scored(bench, monkeypatch, [1, 1, np.nan, -1, 1, 1, 1]).models == ()
    assert scored(bench, monkeypatch, [1, 1, 1, -1, 1, 1, np.nan]).models, "the pair of no subset counts for nothing"


def test_without_two_subsets_there_is_nothing_to_tell(monkeypatch):
    bench = make_bench(MarsConfig())
    for split, first in (("train", 0), ("heldout", 900)):
        pairs = ListSource([replace(pair, subset="one") for pair in make_pairs(30, first=first)])
        import_pairs(pairs, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    train_warm_up(bench)
    assert scored(bench, monkeypatch, [1] * 30).models == ()
