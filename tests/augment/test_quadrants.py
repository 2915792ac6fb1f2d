"""Quadrants: the plane is parted where a plan's two layers part the training pairs."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.allocation import has_low_margin
from mars_engine.augment.plan import draft_plan
from mars_engine.augment.quadrants import PlaneBorders, part_plane
from mars_engine.core.config import AllocationConfig, GateConfig, MarsConfig, TriageConfig
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import DECISION_CODES, PairIndex, PairIndexCache
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up

KEEP = TriageConfig(policy="keep", seeds=2, folds=3)


def make_index(**settings) -> tuple[PairIndex, tuple]:
    """The index of scored pairs, the labels of a third of them flipped, and the rows that a plan has of them."""
    bench = make_bench(MarsConfig(triage=KEEP, **settings))
    for split, count, first in (("train", 60, 0), ("heldout", 20, 1000)):
        source = ListSource(make_pairs(count, seed=first, first=first))
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=bench.progress)
    model = train_warm_up(bench)
    score_model(bench, model)
    for pair in bench.store.pairs.pairs("train")[::3]:
        record_review(bench.store, "pair", pair.id, "flip", annotator="ada", clock=bench.clock)
    return PairIndexCache(bench.store).current(), draft_plan(bench, model).rows


@pytest.mark.parametrize("scale", ["raw", "standard"])
@pytest.mark.parametrize("rule", ["mean", "quantile"])
def test_the_borders_part_training_pairs_as_a_plan_does_where_labels_were_flipped(scale, rule):
    allocation, gate = AllocationConfig(law="signed", scale=scale), GateConfig(rule=rule)
    index, rows = make_index(allocation=allocation, gate=gate)
    borders = part_plane(index, allocation=allocation, gate=gate)
    budgeted = has_low_margin(np.array([row.probability for row in rows]))
    assert 0 < budgeted.sum() < len(rows)
    assert [row.margin < borders.hard_below for row in rows] == budgeted.tolist()
    assert [row.distance < borders.close_below for row in rows] == [row.gate == "low" for row in rows]
    margins = np.array([row.margin for row in rows], dtype=np.float32)
    distances = np.array([row.distance for row in rows], dtype=np.float32)
    quadrants = {quadrant.name: quadrant.pairs for quadrant in borders.quadrants(margins, distances)}
    assert quadrants["hard and close"] == sum(
        low and row.gate == "low" for low, row in zip(budgeted.tolist(), rows, strict=True)
    )


def test_dropped_and_held_out_pairs_do_not_move_the_borders():
    allocation, gate = AllocationConfig(), GateConfig()
    index, _ = make_index()
    left_out = np.arange(len(index)) % 7 == 1
    dropped = replace(index, decision=np.where(left_out, DECISION_CODES.index("drop"), index.decision))
    elsewhere = replace(
        dropped,
        margin=np.where(left_out | (index.split == 1), np.float32(-50), index.margin),
        distance=np.where(left_out | (index.split == 1), np.float32(2), index.distance),
    )
    assert part_plane(dropped, allocation=allocation, gate=gate) != part_plane(index, allocation=allocation, gate=gate)
    assert part_plane(elsewhere, allocation=allocation, gate=gate) == part_plane(
        dropped, allocation=allocation, gate=gate
    )
    everything = replace(index, decision=np.full(len(index), DECISION_CODES.index("drop")))
    assert part_plane(everything, allocation=allocation, gate=gate) is None


def test_each_known_pair_is_in_one_quadrant():
    nan = np.nan
    margins = np.array([-1, -1, -1, 0.5, 0.5, nan, -1], dtype=np.float32)
    distances = np.array([0.1, 0.4, 0.5, 0.1, 0.9, 0.1, nan], dtype=np.float32)
    quadrants = PlaneBorders(hard_below=0.5, close_below=0.5).quadrants(margins, distances)
    assert [(each.name, each.advice, each.pairs) for each in quadrants] == [
        ("hard and close", "refine first", 2),
        ("hard and apart", "paraphrase", 1),
        ("easy and close", "little budget", 1),
        ("easy and apart", "little budget", 1),
    ]
