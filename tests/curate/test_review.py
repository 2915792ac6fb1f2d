"""Single decisions and policies: how they are numbered, and how they go together with logs."""

from datetime import UTC, datetime

import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig, TriageConfig
from mars_engine.core.review_state import proposal_states
from mars_engine.curate.decision_log import take_log
from mars_engine.curate.review import review_by_policy
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up


@pytest.fixture
def bench() -> Workbench:
    made = make_bench(MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3)))
    import_pairs(ListSource(make_pairs(10)), made.store, split="train", clock=made.clock, progress=made.progress)
    model = train_warm_up(made)
    score_model(made, model)
    make_proposals(made, make_plan(made, model).plan)
    return made


def decide(bench: Workbench, item: str, action: str, *, kind="proposal", by="ada"):
    return record_review(bench.store, kind, item, action, annotator=by, clock=bench.clock)


def test_an_annotators_sequences_grow_over_all_items_and_kinds_and_follow_the_clock(bench):
    first, second = [each.id for each in bench.store.proposals.proposals()][:2]
    pair = bench.store.pairs.pairs("train")[0].id
    events = [decide(bench, first, "accept"), decide(bench, pair, "drop", kind="pair"), decide(bench, second, "flag")]
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    assert datetime.fromtimestamp(sequences[0] / 1e6, UTC) == events[0].at


def test_sequences_grow_though_a_browsers_clock_is_ahead(bench):
    item = bench.store.proposals.proposals()[0].id
    ahead = 2**51
    act = {
        "sequence": ahead,
        "annotator": "ada",
        "kind": "proposal",
        "items": [item],
        "action": "flag",
        "presented": "open",
    }
    assert take_log(bench.store, kind="proposal", annotator="ada", acts=[act], clock=bench.clock).refused == ()
    assert decide(bench, item, "accept").sequence == ahead + 1
    assert decide(bench, item, "accept", by="bob").sequence < ahead


def test_a_policy_decides_in_one_act_and_people_overrule_it(bench):
    review_by_policy(bench.store, "accept-all", clock=bench.clock)
    proposals = bench.store.proposals.proposals()
    (act,) = bench.store.reviews.standing_acts("proposal", "policy:accept-all", newest=9)
    assert set(act.items) == {each.id for each in proposals}
    decide(bench, proposals[0].id, "reject")
    again = review_by_policy(bench.store, "accept-all", clock=bench.clock)
    assert (again.accepted_now, again.rejected_now) == (0, 0)
    states = proposal_states(proposals, bench.store.reviews.events("proposal"))
    assert states[proposals[0].id].status == "rejected"
    decide(bench, proposals[0].id, "undo")
    states = proposal_states(proposals, bench.store.reviews.events("proposal"))
    assert states[proposals[0].id].status == "accepted"


def test_an_undo_of_one_item_leaves_the_rest_of_a_bulk_act_to_the_next_undo(bench):
    items = [each.id for each in bench.store.proposals.proposals()][:3]
    act = {"annotator": "ada", "kind": "proposal", "presented": "open"}
    log = [act | {"sequence": 1, "items": items, "action": "reject"}]
    take_log(bench.store, kind="proposal", annotator="ada", acts=log, clock=bench.clock)
    decide(bench, items[0], "undo")
    undo = act | {"sequence": 2**51, "items": [], "action": "undo"}
    outcome = take_log(bench.store, kind="proposal", annotator="ada", acts=[undo], clock=bench.clock)
    assert set(outcome.items) == set(items[1:])
    states = proposal_states(bench.store.proposals.proposals(), bench.store.reviews.events("proposal"))
    assert {state.status for state in states.values()} == {"pending"}
