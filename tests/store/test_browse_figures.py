"""The readings that results, overview and report are made of."""

from datetime import UTC, datetime

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.workbench import Workbench
from mars_engine.core.columns import ReviewTally
from mars_engine.core.review_records import ReviewEvent
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.workspace.rounds import run_rounds


@pytest.fixture(scope="module")
def bench() -> Workbench:
    made = make_bench()
    for split, first in (("train", 0), ("heldout", 1000)):
        source = ListSource(make_pairs(20, first=first, seed=first, pairs_a_prompt=2))
        import_pairs(source, made.store, split=split, clock=made.clock, progress=made.progress)
    (report,) = run_rounds(made, 1, policy="accept-all")
    score_model(made, report.model)
    return made


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_rewards_are_those_of_the_split_in_full_precision(bench, split):
    model = bench.store.models.latest()
    columns = bench.store.browse.rewards(model.id, split)
    found = zip(columns.pair_ids.tolist(), columns.chosen.tolist(), columns.rejected.tolist(), strict=True)
    of_split = {pair.id for pair in bench.store.pairs.pairs(split)}
    expected = {key: value for key, value in bench.store.models.scores(model.id).items() if key in of_split}
    assert {pair_id.decode(): (chosen, rejected) for pair_id, chosen, rejected in found} == expected
    assert len(bench.store.browse.rewards("no such model", split).pair_ids) == 0


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_prompt_ids_stand_in_the_order_of_import(bench, split):
    expected = [pair.prompt_id.encode() for pair in bench.store.pairs.pairs(split)]
    np.testing.assert_array_equal(bench.store.browse.prompt_ids(split), expected)


def test_refinements_count_the_sources_by_outcome(bench):
    settings = {proposal.settings_id for proposal in bench.store.proposals.proposals()}
    outcomes = [name for each in settings for name in bench.store.proposals.sources_done(each).values()]
    assert bench.store.browse.refinements() == {name: outcomes.count(name) for name in sorted(set(outcomes))}


def test_review_tallies_count_events_and_add_their_seconds():
    store = make_bench().store
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    acts = [
        ("pair", "flip", "ada", 1),
        ("pair", "flip", "ada", 2),
        ("pair", "undo", "ada", 3),
        ("proposal", "accept", "bo", 1),
        *(("proposal", "accept", "cy", 1), ("proposal", "skip", "cy", 2), ("proposal", "reject", "cy", 3)),
    ]
    store.reviews.append(
        [
            ReviewEvent(kind, f"item {number}", action, name, number, moment, seconds=1.5)
            for kind, action, name, number in acts
        ]
    )
    # Two on one item: the first undo takes back a skip and the next a decision.
    late = enumerate(["reject", "skip", "undo", "undo", "accept"], start=11)
    store.reviews.append([ReviewEvent("proposal", "item 3", action, "cy", number, moment) for number, action in late])
    assert store.browse.review_tallies() == [
        ReviewTally("pair", "ada", "flip", 2, 3.0),
        ReviewTally("pair", "ada", "undo", 1, 1.5),
        ReviewTally("proposal", "bo", "accept", 1, 1.5),
        ReviewTally("proposal", "cy", "accept", 2, 1.5),
        ReviewTally("proposal", "cy", "reject", 2, 1.5, undone=1),
        ReviewTally("proposal", "cy", "skip", 2, 1.5, undone=1),
        ReviewTally("proposal", "cy", "undo", 2, 0.0),
    ]
