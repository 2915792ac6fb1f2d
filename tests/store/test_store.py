"""The store, on SQLite in memory, SQLite in a file and, where MARS_TEST_DATABASE_URL names a server, PostgreSQL."""

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from database_content import database_content
from sqlalchemy import create_engine, event, insert, inspect, text

from mars_engine.core.errors import StoreError
from mars_engine.core.records import (
    ComposedPair,
    Composition,
    DatasetRecord,
    EvaluationRecord,
    ModelRecord,
    Pair,
    Plan,
    PlanRow,
    Proposal,
    ProposalFailure,
    Rewards,
    Run,
    TriageRow,
    Turn,
    content_id,
)
from mars_engine.core.review_records import ReviewEvent
from mars_engine.store import Store, open_store, schema, sqlite_url
from mars_engine.store import database as database_module
from mars_engine.store.database import MIGRATIONS
from mars_engine.store.statements import record_values

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
AWKWARD = "def f():\n\treturn '\"x\\y\"'\r\n\n  nested  spaces \u2028 émoji 👩🏽‍🚀 %s :name ?"


# ----------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(params=["sqlite-memory", "sqlite-file", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    urls = {"sqlite-memory": "sqlite://", "sqlite-file": f"sqlite:///{tmp_path / 'mars.db'}"}
    url = urls.get(request.param) or request.getfixturevalue("schema_url")()
    opened = open_store(url)
    yield opened
    opened.close()


# ------------------------------------------------------------------------------------------------------------ records


def a_pair(number: int) -> Pair:
    prompt = [Turn("user", f"question {number}"), Turn("assistant", AWKWARD), Turn("user", "")]
    attributes = {"chosen_model": "gpt-4", "rating": 0.1 + 0.2, "nested": {"z": [1, None, True], "a": AWKWARD}}
    return Pair.of(prompt, f"good {number}\n{AWKWARD}", f"bad {number}", subset="chat", attributes=attributes)


PAIRS = [a_pair(number) for number in range(6)]


def a_dataset(name: str = "first", **changes: object) -> DatasetRecord:
    record = DatasetRecord(
        id=content_id(name),
        name=name,
        location=f"/data/{name}.jsonl",
        format="hh-rlhf",
        split="train",
        content_hash="ab" * 32,
        imported_at=NOON,
        pair_count=len(PAIRS),
        report={"dropped": {"empty": 2}, "longer_wins": 2 / 3},
    )
    return replace(record, **changes)


def a_model(name: str = "warm-up", **changes: object) -> ModelRecord:
    record = ModelRecord(
        id=content_id("model", name),
        kind="probe",
        label=name,
        settings={"inverse_l2": 1.0, "features": "response"},
        metrics={"accuracy": 1 / 3},
        artifact="artifacts/models/x",
        composition_id="",
        round=0,
        created_at=NOON,
    )
    return replace(record, **changes)


MODEL = a_model()


def a_plan(name: str = "plan", **changes: object) -> Plan:
    record = Plan(
        id=content_id("plan", name),
        model_id=MODEL.id,
        round=1,
        law="signed",
        budget=30,
        settings={"tau": 0.5},
        summary={"effective_sample_size": 4.2},
        created_at=NOON,
    )
    return replace(record, **changes)


PLAN = a_plan()
PLAN_ROWS = [PlanRow(pair.id, -0.1 * i, 1 / (i + 3), i, 0.7 / (i + 1), "low") for i, pair in enumerate(PAIRS)]


def a_proposal(source: Pair, variant: int, **changes: object) -> Proposal:
    record = Proposal(
        id=content_id("proposal", source.id, variant),
        source_id=source.id,
        oriented_id=content_id("flipped", source.id),
        plan_id=PLAN.id,
        model_id=MODEL.id,
        settings_id="settings",
        method="refined+paraphrase",
        variant=variant,
        prompt=source.prompt,
        chosen=f"{source.chosen} again",
        rejected=source.rejected,
        unchanged_sides=("prompt", "rejected"),
        generators={"paraphraser": {"name": "rules", "stand_in": True}},
        seed=2**62 + 1,
        distance_before=0.1,
        distance_after=0.30000000000000004,
        margin_before=-1e-300,
        margin_after=math.pi,
        information_gain=5e-324,
        flags=("low_fidelity",),
    )
    return replace(record, **changes)


def a_failure(source: Pair, reason: str = "no phrase fits") -> ProposalFailure:
    return ProposalFailure(source.id, "settings", "rules", "refine rejected", reason, retryable=True)


def a_review(item: str = "p1", sequence: int = 1, **changes: object) -> ReviewEvent:
    record = ReviewEvent("proposal", item, "accept", "ada", sequence, NOON, seconds=1.25)
    return replace(record, **changes)


def a_run(name: str = "run", **changes: object) -> Run:
    record = Run(name, "train", "running", {"seed": 1}, {}, "", 4242, 1767.123456789, NOON, NOON, None)
    return replace(record, **changes)


def fill(store: Store) -> None:
    """Store the six pairs, the model and its plan, which proposals and compositions refer to."""
    store.pairs.add_dataset(a_dataset(), list(enumerate(PAIRS, start=1)))
    store.models.add(MODEL)
    store.proposals.add_plan(PLAN, PLAN_ROWS)


# -------------------------------------------------------------------------------------------------------------- pairs


def test_pairs_come_back_exactly_and_in_import_order(store: Store) -> None:
    dataset = a_dataset()
    shuffled = [PAIRS[i] for i in (3, 0, 5, 1, 4, 2)]
    store.pairs.add_dataset(dataset, list(enumerate(shuffled, start=1)))
    found = store.pairs.pairs("train")
    assert found == shuffled
    assert [pair.attributes for pair in found] == [pair.attributes for pair in shuffled]
    assert list(found[0].attributes["nested"]) == ["z", "a"]
    assert store.pairs.datasets() == [dataset]
    assert store.pairs.pairs("heldout") == []
    assert (store.pairs.count("train"), store.pairs.count("heldout")) == (6, 0)


def test_a_pair_stays_where_it_was_imported_first(store: Store) -> None:
    store.pairs.add_dataset(a_dataset(), [(1, PAIRS[0]), (2, PAIRS[1]), (3, PAIRS[0])])
    store.pairs.add_dataset(a_dataset("second", split="heldout"), [(1, PAIRS[1]), (2, PAIRS[2])])
    assert store.pairs.pairs("train") == PAIRS[:2]
    assert store.pairs.pairs("heldout") == PAIRS[2:3]
    assert store.pairs.present([PAIRS[1].id, PAIRS[2].id, "unknown"]) == {
        PAIRS[1].id: "train",
        PAIRS[2].id: "heldout",
    }


def test_a_dataset_that_is_present_changes_nothing(store: Store) -> None:
    store.pairs.add_dataset(a_dataset(), [(1, PAIRS[0])])
    store.pairs.add_dataset(a_dataset(name="first", location="elsewhere"), [(1, PAIRS[1])])
    assert store.pairs.datasets() == [a_dataset()]
    assert store.pairs.pairs("train") == [PAIRS[0]]


def test_datasets_are_listed_oldest_first_even_at_one_moment(store: Store) -> None:
    names = ["c", "a", "b"]
    for name in names:
        store.pairs.add_dataset(a_dataset(name), [])
    assert [dataset.name for dataset in store.pairs.datasets()] == names


def test_pairs_by_id_leave_out_the_unknown(store: Store) -> None:
    fill(store)
    found = store.pairs.by_id([PAIRS[4].id, "unknown", PAIRS[2].id])
    assert list(found.items()) == [(PAIRS[4].id, PAIRS[4]), (PAIRS[2].id, PAIRS[2])]
    assert store.pairs.by_id([]) == {}


def test_a_bad_row_leaves_nothing_of_its_dataset(store: Store) -> None:
    bad = replace(PAIRS[1], rejected=None)
    with pytest.raises(StoreError, match="rejected"):
        store.pairs.add_dataset(a_dataset(), [(1, PAIRS[0]), (2, bad), (3, PAIRS[2])])
    assert store.pairs.datasets() == []
    assert store.pairs.pairs("train") == []


def test_half_a_surrogate_pair_is_refused_as_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError, match="surrogates not allowed"):
        store.pairs.add_dataset(a_dataset(), [(1, PAIRS[0]), (2, replace(PAIRS[1], chosen="\ud83d"))])
    assert store.pairs.datasets() == []


def test_a_moment_without_time_zone_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="no time zone"):
        store.pairs.add_dataset(a_dataset(imported_at=NOON.replace(tzinfo=None)), [])


def test_moments_come_back_in_utc(store: Store) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30)))
    store.pairs.add_dataset(a_dataset(imported_at=elsewhere), [])
    assert store.pairs.datasets()[0].imported_at.isoformat() == "2026-03-01T12:00:00.123456+00:00"


@pytest.mark.slow
def test_a_hundred_thousand_pairs_import_in_seconds_and_are_found_by_id(shared_url: str) -> None:
    turns = (Turn("user", "q"),)
    pairs = [Pair(f"{number:024x}", turns, f"good {number}", "bad") for number in range(100_000)]
    store = open_store(shared_url)
    started = time.perf_counter()
    store.pairs.add_dataset(a_dataset(), list(enumerate(pairs, start=1)))
    assert time.perf_counter() - started < 30
    assert store.pairs.count("train") == 100_000
    wanted = pairs[10_000:50_000]
    assert list(store.pairs.by_id([pair.id for pair in wanted]).values()) == wanted
    assert len(store.pairs.present(["unknown", *(pair.id for pair in wanted)])) == 40_000
    store.close()


# ------------------------------------------------------------------------------------------------------------- models


def test_models_come_back_exactly_and_oldest_first(store: Store) -> None:
    retrained = a_model("retrained", composition_id="c1", round=1)
    store.models.add(MODEL)
    store.models.add(retrained)
    assert store.models.all() == [MODEL, retrained]
    assert store.models.get(MODEL.id) == MODEL
    assert store.models.get("unknown") is None


def test_the_latest_model_is_the_one_stored_last(store: Store) -> None:
    assert store.models.latest() is None
    retrained = a_model("retrained", composition_id="c1", round=1)
    store.models.add(MODEL)
    store.models.add(retrained)
    assert store.models.latest() == retrained
    assert store.models.latest(warm_up=True) == MODEL
    store.models.add(replace(MODEL, metrics={"changed": 1}, artifact="changed"))
    assert store.models.latest() == MODEL, "stored again, it is the latest again, with its first content"
    assert store.models.all() == [retrained, MODEL]


def test_a_model_stored_again_is_that_of_the_composition_it_was_last_made_for(store: Store) -> None:
    store.models.add(a_model("retrained", composition_id="c1", round=1))
    again = a_model("retrained", composition_id="c2", round=2)
    store.models.add(again)
    assert store.models.all() == [again]


def test_scores_are_bit_exact_and_replaced(store: Store) -> None:
    fill(store)
    ids = [pair.id for pair in PAIRS[:3]]
    chosen, rejected = np.array([0.1, -1e-310, 1e300]), np.array([0.2, 2 / 3, -1e-17])
    store.models.save_scores(MODEL.id, ids, Rewards(chosen, rejected))
    assert store.models.scores(MODEL.id) == dict(zip(ids, zip(chosen, rejected, strict=True), strict=True))
    store.models.save_scores(MODEL.id, ids[1:2], Rewards(np.array([5.0]), np.array([6.0])))
    assert store.models.scores(MODEL.id)[ids[1]] == (5.0, 6.0)
    assert store.models.scores(MODEL.id)[ids[0]] == (0.1, 0.2)
    with store.database.read() as connection:
        margins = dict(connection.execute(text("SELECT pair_id, margin FROM scores")).all())
    assert margins[ids[0]] == 0.1 - 0.2


def test_no_scores_and_scores_of_unknown_pairs(store: Store) -> None:
    fill(store)
    store.models.save_scores(MODEL.id, [], Rewards(np.array([]), np.array([])))
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.models.save_scores(MODEL.id, [PAIRS[0].id, "unknown"], Rewards(np.ones(2), np.ones(2)))
    assert store.models.scores(MODEL.id) == {}


def test_triage_is_replaced_and_keeps_its_order(store: Store) -> None:
    fill(store)
    rows = [TriageRow(pair.id, -0.1, 0.3, 0.8, "suspected") for pair in reversed(PAIRS)]
    store.models.save_triage(MODEL.id, rows)
    assert store.models.triage(MODEL.id) == rows
    again = [TriageRow(PAIRS[2].id, 1.0, 0.0, 0.0, "clear"), TriageRow(PAIRS[1].id, 0.0, 1 / 7, 0.5, "hard")]
    store.models.save_triage(MODEL.id, again)
    assert store.models.triage(MODEL.id) == again
    assert store.models.triage("unknown") == []


# ------------------------------------------------------------------------------------------------ plans and proposals


def test_plans_come_back_exactly(store: Store) -> None:
    fill(store)
    assert store.proposals.plan(PLAN.id) == PLAN
    assert store.proposals.plan_rows(PLAN.id) == PLAN_ROWS
    assert store.proposals.plan("unknown") is None
    second = a_plan("second")
    store.proposals.add_plan(second, PLAN_ROWS[:1])
    assert store.proposals.latest_plan() == second


def test_a_plan_that_is_present_changes_nothing(store: Store) -> None:
    fill(store)
    store.proposals.add_plan(replace(PLAN, budget=99), PLAN_ROWS[:2])
    assert store.proposals.plan(PLAN.id) == PLAN
    assert store.proposals.plan_rows(PLAN.id) == PLAN_ROWS


def test_proposals_come_back_exactly_in_source_then_variant_order(store: Store) -> None:
    fill(store)
    ordered = [a_proposal(source, variant) for source in PAIRS[:3] for variant in (1, 2, 10)]
    store.proposals.add_proposals("settings", {}, ordered[::-1], [])
    assert store.proposals.proposals() == ordered
    assert store.proposals.proposals(source_ids=[PAIRS[2].id, PAIRS[0].id]) == ordered[:3] + ordered[6:]
    assert store.proposals.proposals(source_ids=[]) == []
    assert store.proposals.by_id([ordered[4].id, "unknown"]) == {ordered[4].id: ordered[4]}


def test_proposals_are_kept_apart_by_settings(store: Store) -> None:
    fill(store)
    one, other = a_proposal(PAIRS[0], 1), a_proposal(PAIRS[0], 2, settings_id="other")
    store.proposals.add_proposals("settings", {PAIRS[0].id: "not_needed"}, [one], [])
    store.proposals.add_proposals("other", {PAIRS[0].id: "unrefined"}, [other], [])
    assert store.proposals.proposals(settings_id="other") == [other]
    assert store.proposals.proposals(source_ids=[PAIRS[0].id], settings_id="settings") == [one]
    assert store.proposals.sources_done("settings") == {PAIRS[0].id: "not_needed"}
    assert store.proposals.sources_done("other") == {PAIRS[0].id: "unrefined"}


def test_storing_proposals_twice_adds_nothing(store: Store) -> None:
    fill(store)
    refinements = {PAIRS[0].id: "refined_rejected", "id of a flipped pair": "unrefined"}
    proposals, failures = [a_proposal(PAIRS[0], 1)], [a_failure(PAIRS[1]), a_failure(PAIRS[1], "empty")]
    for _ in range(2):
        store.proposals.add_proposals("settings", refinements, proposals, failures)
    assert store.proposals.proposals() == proposals
    assert store.proposals.failures() == failures
    assert store.proposals.failures("other") == []
    assert store.proposals.sources_done("settings") == refinements


def test_a_source_that_is_tried_again_has_its_last_failures_only(store: Store) -> None:
    fill(store)
    store.proposals.add_proposals("settings", {}, [], [a_failure(PAIRS[0]), a_failure(PAIRS[1])])
    store.proposals.add_proposals("settings", {PAIRS[0].id: "not_needed"}, [a_proposal(PAIRS[0], 1)], [])
    assert store.proposals.failures("settings") == [a_failure(PAIRS[1])]


def test_a_bad_proposal_leaves_nothing_of_its_batch(store: Store) -> None:
    fill(store)
    stray = a_proposal(a_pair(99), 1)
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.proposals.add_proposals(
            "settings", {PAIRS[0].id: "not_needed"}, [a_proposal(PAIRS[0], 1), stray], [a_failure(PAIRS[0])]
        )
    assert store.proposals.proposals() == []
    assert store.proposals.failures() == []
    assert store.proposals.sources_done("settings") == {}


# ------------------------------------------------------------------------------------------------------------ reviews


def test_reviews_come_back_exactly_and_oldest_first(store: Store) -> None:
    edit = a_review(
        sequence=2,
        action="edit",
        at=NOON + timedelta(seconds=1),
        edited_prompt=PAIRS[0].prompt,
        edited_chosen=AWKWARD,
        edited_rejected="",
        note="better",
    )
    other = a_review("p2", annotator="bob")
    assert store.reviews.append([edit, a_review(), other]) == 3
    assert store.reviews.events("proposal") == {"p1": [a_review(), edit], "p2": [other]}
    assert store.reviews.events("proposal", ["p2", "unknown"]) == {"p2": [other]}
    assert store.reviews.events("pair") == {}


def test_a_review_sent_again_is_stored_once(store: Store) -> None:
    assert store.reviews.append([a_review(), a_review()]) == 1
    later = a_review(at=NOON + timedelta(minutes=1), seconds=61.25)
    assert store.reviews.append([later, a_review(sequence=2), a_review(item_kind="pair", action="flip")]) == 2
    assert store.reviews.events("proposal") == {"p1": [a_review(), a_review(sequence=2)]}
    assert store.reviews.append([]) == 0


@pytest.mark.parametrize("change", [{"action": "reject"}, {"note": "no"}, {"edited_chosen": "text"}])
def test_another_decision_under_a_used_number_is_not_lost_silently(store: Store, change: dict[str, str]) -> None:
    store.reviews.append([a_review()])
    with pytest.raises(StoreError, match="ada's event 1 on proposal p1"):
        store.reviews.append([a_review("p2"), a_review(**change)])
    assert store.reviews.events("proposal") == {"p1": [a_review()]}


# ------------------------------------------------------------------------------------------------------- compositions


def a_composed_pair(source: Pair, number: int) -> ComposedPair:
    pair = Pair.of(source.prompt, f"new {number}\n{AWKWARD}", "old", subset="s", attributes={"n": number})
    return ComposedPair(pair, source.id, "paraphrase", 1, 0.1 + 0.2, -1 / 3, a_proposal(source, 1).id, "")


def test_compositions_come_back_exactly_in_the_order_stored(store: Store) -> None:
    fill(store)
    first = Composition("c-first", PLAN.id, "", 1, {"seed": 0}, {"handed_on": 3}, NOON)
    second = replace(first, id="a-second", parent_id=first.id, round=2)
    composed = [a_composed_pair(PAIRS[number % 6], number) for number in range(12)][::-1]
    assert store.compositions.latest() is None
    store.compositions.add(first, composed)
    store.compositions.add(second, composed[:1])
    assert store.compositions.latest() == second
    store.compositions.add(replace(first, round=9), [])
    found = store.compositions.pairs(first.id)
    assert found == composed
    assert [row.pair.attributes for row in found] == [row.pair.attributes for row in composed]
    assert store.compositions.all() == [second, first]
    assert [store.compositions.count(each) for each in (first.id, second.id, "unknown")] == [12, 1, 0]
    assert store.compositions.latest() == first
    assert store.compositions.get(first.id) == first
    assert store.compositions.get("unknown") is None


# -------------------------------------------------------------------------------------------------------- evaluations


def an_evaluation(**changes: object) -> EvaluationRecord:
    record = EvaluationRecord(
        id="e1",
        kind="rewardbench",
        model_id="someone/a-model",
        label=AWKWARD,
        settings={"version": 1, "format": AWKWARD},
        results={"overall": 0.1 + 0.2, "absent": None, "subsets": {"z": 1.0, "a": 0.5}},
        artifact="artifacts/rewardbench/e1",
        created_at=NOON,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def test_evaluations_come_back_exactly_the_newest_first_and_by_kind(store: Store) -> None:
    first, second = an_evaluation(), an_evaluation(id="a2", kind="experiment", model_id="", artifact="")
    assert store.evaluations.all() == []
    assert store.evaluations.get("e1") is None
    store.evaluations.add(first)
    store.evaluations.add(second)
    assert store.evaluations.all() == [second, first]
    assert list(store.evaluations.all()[1].results["subsets"]) == ["z", "a"]
    assert store.evaluations.all("experiment") == [second]
    assert store.evaluations.all("rewardbench2") == []
    assert store.evaluations.get("e1") == first
    assert store.browse.revisions()["evaluations"] == 2


def test_an_evaluation_made_again_takes_the_place_of_the_old_one(store: Store) -> None:
    later = an_evaluation(results={"overall": 0.9}, created_at=NOON + timedelta(days=1))
    store.evaluations.add(an_evaluation())
    store.evaluations.add(an_evaluation(id="e2"))
    store.evaluations.add(later)
    assert store.evaluations.all() == [later, an_evaluation(id="e2")]


# --------------------------------------------------------------------------------------------------------------- runs


def test_a_run_from_start_to_finish(store: Store) -> None:
    run = a_run()
    store.runs.start(run)
    store.runs.start(a_run("another"))
    store.runs.heartbeat("run", NOON + timedelta(seconds=5))
    store.runs.finish("run", "failed", NOON + timedelta(seconds=9), summary={"pairs": 3}, error=AWKWARD)
    assert store.runs.all() == [
        a_run("another"),
        replace(
            run,
            state="failed",
            summary={"pairs": 3},
            error=AWKWARD,
            heartbeat_at=NOON + timedelta(seconds=5),
            ended_at=NOON + timedelta(seconds=9),
        ),
    ]


def test_runs_that_are_unknown_or_started_twice_are_refused(store: Store) -> None:
    store.runs.start(a_run())
    with pytest.raises(StoreError, match=r"(?i)unique"):
        store.runs.start(a_run())
    with pytest.raises(StoreError, match="no run 'other'"):
        store.runs.heartbeat("other", NOON)
    with pytest.raises(StoreError, match="no run 'other'"):
        store.runs.finish("other", "finished", NOON, summary={})


def test_points_by_metric_in_order_of_step(store: Store) -> None:
    store.runs.start(a_run())
    for step, value in [(10, 0.1), (2, 0.3), (2, 0.2)]:
        store.runs.add_point("run", "loss", step, value)
    store.runs.add_point("run", "accuracy", 0, math.inf)
    assert store.runs.points("run") == {"loss": [(2, 0.2), (10, 0.1)], "accuracy": [(0, math.inf)]}
    assert store.runs.points("other") == {}


def test_a_loss_that_diverged_is_kept(store: Store) -> None:
    store.runs.start(a_run())
    store.runs.add_point("run", "loss", 1, math.nan)
    [(step, value)] = store.runs.points("run")["loss"]
    assert step == 1
    assert math.isnan(value)


# ----------------------------------------------------------------------------------------------------------- database


def test_the_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_the_schema_names_the_newest_migration() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == schema.REVISION


def test_a_transaction_that_fails_leaves_the_store_usable(store: Store) -> None:
    def fail_within() -> None:
        with store.database.write() as connection:
            connection.execute(text("INSERT INTO runs (id) VALUES ('x')"))

    with pytest.raises(StoreError, match=r"(?i)null"):
        fail_within()
    store.runs.start(a_run())
    assert store.runs.all() == [a_run()]


def test_threads_may_share_a_store(store: Store) -> None:
    def decide(annotator: str) -> int:
        return sum(store.reviews.append([a_review(sequence=n, annotator=annotator)]) for n in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(decide, "abcd")) == [20] * 4
    assert len(store.reviews.events("proposal")["p1"]) == 80


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_of_it(shared_url: str) -> None:
    store = open_store(shared_url)
    with store.database.read() as reading:
        assert reading.execute(text("SELECT count(*) FROM runs")).scalar() == 0
        with store.database.write() as writing:
            writing.execute(insert(schema.runs), {"ordinal": 0, **record_values(a_run())})
            assert store.runs.all() == []
        assert reading.execute(text("SELECT count(*) FROM runs")).scalar() == 0
    assert store.runs.all() == [a_run()]
    store.close()


def test_a_write_transaction_takes_the_lock_at_once_and_a_read_transaction_never(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'mars.db'}")
    said: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    store.reviews.append([a_review()])
    store.reviews.events("proposal")
    assert [statement for statement in said if statement.startswith("BEGIN")] == ["BEGIN IMMEDIATE", "BEGIN"]
    with store.database.write():
        rival = sqlite3.connect(tmp_path / "mars.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("BEGIN IMMEDIATE")
        rival.close()
    store.close()


def test_sqlite_is_durable_and_keeps_references(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'mars.db'}")
    expected = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 30_000}
    with store.database.read() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in expected}
    assert found == expected
    store.close()


def test_a_writer_that_waits_too_long_says_why(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mars.db'}"
    store, impatient = open_store(url), open_store(f"{url}?timeout=0.05")
    with store.database.write(), pytest.raises(StoreError, match="another process has been writing"):
        impatient.reviews.append([a_review()])
    assert impatient.reviews.append([a_review()]) == 1
    store.close()
    impatient.close()


def test_a_second_writer_waits_for_the_first(shared_url: str) -> None:
    store = open_store(shared_url)
    inside, leaving = threading.Event(), threading.Event()

    def hold() -> None:
        with store.database.write():
            inside.set()
            time.sleep(0.3)
            leaving.set()

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(10)
    assert store.reviews.append([a_review()]) == 1
    assert leaving.is_set()
    holder.join()
    store.close()


def test_workspaces_in_two_schemas_of_a_database_do_not_wait_for_each_other(schema_url: Callable[[], str]) -> None:
    one, other = open_store(schema_url()), open_store(schema_url())
    with one.database.write():
        assert other.reviews.append([a_review()]) == 1
    one.close()
    other.close()


OPEN_AND_REVIEW = """
import sys
from datetime import UTC, datetime
from mars_engine.core.review_records import ReviewEvent
from mars_engine.store import open_store

url, annotator = sys.argv[1:]
sys.stdin.readline()
store = open_store(url)
for number in range(50):
    event = ReviewEvent("proposal", f"p{number % 5}", "accept", annotator, number, datetime.now(UTC))
    assert store.reviews.append([event]) == 1
store.close()
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], text=True, env=environment, **pipes)


@pytest.mark.slow
def test_processes_that_make_and_fill_a_database_at_once_lose_nothing(shared_url: str) -> None:
    annotators = ["ada", "bob", "eve"]
    processes = [python(OPEN_AND_REVIEW, shared_url, annotator) for annotator in annotators]
    for process in processes:  # all wait for this line, so that they open the database at one time
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    store = open_store(shared_url)
    events = [event for item in store.reviews.events("proposal").values() for event in item]
    store.close()
    assert len(events) == 150
    assert {(event.annotator, event.sequence) for event in events} == {(a, n) for a in annotators for n in range(50)}


def test_many_openers_of_a_new_file_all_succeed(tmp_path: Path) -> None:
    for attempt in range(5):
        url = f"sqlite:///{tmp_path / f'{attempt}.db'}"
        with ThreadPoolExecutor(6) as pool:
            stores = list(pool.map(open_store, [url] * 6))
        assert [store.runs.all() for store in stores] == [[]] * 6
        for store in stores:
            store.close()


def test_opening_waits_for_whoever_is_at_work_on_a_new_file(tmp_path: Path) -> None:
    # The switch to WAL is told "locked" at once here: SQLite's own busy timeout does not cover it.
    path = tmp_path / "mars.db"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, holder.rollback)
    release.start()
    store = open_store(f"sqlite:///{path}")
    assert store.runs.all() == []
    store.close()
    release.join()
    holder.close()


@pytest.mark.slow
def test_opening_a_current_database_needs_no_alembic(shared_url: str) -> None:
    open_store(shared_url).close()
    script = (
        "import sys; from mars_engine.store import open_store; open_store(sys.argv[1]).close(); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'alembic', 'torch', 'transformers'}))"
    )
    output, errors = python(script, shared_url).communicate(timeout=60)
    assert (output, errors) == ("[]\n", "")


def test_what_was_stored_is_there_after_reopening(shared_url: str) -> None:
    store = open_store(shared_url)
    fill(store)
    store.close()
    again = open_store(shared_url)
    assert again.pairs.pairs("train") == PAIRS
    assert again.proposals.latest_plan() == PLAN
    again.close()


def test_a_database_of_a_newer_version_is_refused(shared_url: str) -> None:
    store = open_store(shared_url)
    with store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreError, match=r"'9999'.*update MARS"):
        open_store(shared_url)


@pytest.mark.parametrize("version", ["0001", "0005"])
def test_a_database_of_before_the_first_release_is_refused_and_left_as_it_is(shared_url: str, version: str) -> None:
    store = open_store(shared_url)
    fill(store)
    with store.database.write() as connection:
        connection.execute(text("DROP TABLE refine_tries"))
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    store.close()
    for _ in range(2):
        with pytest.raises(
            StoreError, match=rf"{version}.*Expected: version '{schema.REVISION}'.*into a new workspace"
        ):
            open_store(shared_url)
    engine = create_engine(shared_url)
    assert "refine_tries" not in inspect(engine).get_table_names()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pairs")).scalar() == len(PAIRS)
    engine.dispose()


def test_a_database_of_an_earlier_release_is_brought_up_to_date(shared_url: str) -> None:
    store = open_store(shared_url)
    fill(store)
    with store.database.write() as connection:
        for table in ("label_opinions", "comparison_votes", "compared_answers", "comparisons"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    store.close()
    store = open_store(shared_url)
    assert store.opinions.judges() == []
    assert store.comparisons.all() == []
    assert len(store.pairs.pairs("train")) == len(PAIRS)
    store.close()


def test_such_a_database_is_refused_so_where_one_may_only_read(tmp_path: Path) -> None:
    path = tmp_path / "mars.db"
    store = open_store(f"sqlite:///{path}")
    with store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    store.close()
    with pytest.raises(StoreError, match="into a new workspace"):
        open_store(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_a_migration_that_fails_leaves_nothing_behind(shared_url: str) -> None:
    engine = create_engine(shared_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE run_points (something_else INTEGER)"))
    for _ in range(2):
        with pytest.raises(StoreError, match="run_points"):
            open_store(shared_url)
    assert inspect(engine).get_table_names() == ["run_points"]
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "cannot be read"),
        ("mars.db", "cannot be read"),
        ("sqlite://ada:hunter2@host/mars.db", "cannot be read"),
        ("postgresql+psycopg://ada:hunter2@localhost:hunter2/mars", "cannot be read"),
        ("mysql://ada:hunter2@localhost/mars", "asks for 'mysql'"),
        ("postgresql+nothing://ada:hunter2@localhost/mars", "asks for"),
        ("postgresql+psycopg://ada:hunter2@127.0.0.1:1/mars", r"mars on 127\.0\.0\.1:1 refused.*the server is running"),
        ("postgresql+psycopg://ada@127.0.0.1:1/mars?password=hunter2", r"mars on 127\.0\.0\.1:1 refused"),
    ],
)
def test_urls_that_lead_nowhere_are_explained_without_the_password(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)


def test_files_that_cannot_be_a_database_are_explained(tmp_path: Path) -> None:
    letter = tmp_path / "letter.db"
    letter.write_text("Dear Ada, this is not a database. " * 50)
    with pytest.raises(StoreError, match=r"letter\.db refused.*no database"):
        open_store(f"sqlite:///{letter}")
    assert letter.read_text().startswith("Dear Ada")
    for path in (tmp_path, tmp_path / "missing" / "mars.db"):
        with pytest.raises(StoreError, match="check that the folder exists"):
            open_store(f"sqlite:///{path}")
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(StoreError, match="you may write"):
        open_store(f"sqlite:///file:{empty}?mode=ro&uri=true")


def test_equal_content_is_recognised_and_a_difference_seen(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in "ab"]
    for url, moment in zip(urls, (NOON, NOON + timedelta(days=1)), strict=True):
        store = open_store(url)
        store.pairs.add_dataset(a_dataset(imported_at=moment), list(enumerate(PAIRS, start=1)))
        store.models.add(replace(MODEL, created_at=moment))
        store.reviews.append([a_review(at=moment)])
        store.runs.start(a_run(started_at=moment))
        store.close()
    first, second = (database_content(url) for url in urls)
    assert first == second
    assert {"runs", "run_points", "leases", "alembic_version"}.isdisjoint(first)
    assert len(first["pairs"]) == 6
    store = open_store(urls[1])
    store.reviews.append([a_review(sequence=2)])
    store.close()
    assert database_content(urls[1]) != first
    assert (
        json.dumps(first["reviews"]) == '[["proposal", "p1", "accept", "ada", 1, null, null, null, "", 1.25, "open"]]'
    )


def test_a_large_journal_is_emptied_unless_somebody_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(database_module, "LARGE_JOURNAL_BYTES", 1)
    url = sqlite_url(tmp_path / "w.sqlite")
    first, second = open_store(url), open_store(url)
    journal = tmp_path / "w.sqlite-wal"
    with first.database.read() as reading:
        reading.execute(text("SELECT count(*) FROM pairs")).scalar()
        began = time.monotonic()
        second.pairs.add_dataset(a_dataset(), list(enumerate(PAIRS, start=1)))
        assert time.monotonic() - began < 10
        assert journal.stat().st_size > 0
    second.pairs.add_dataset(a_dataset("second"), [(1, PAIRS[0])])
    assert journal.stat().st_size == 0
    for store in (first, second):
        store.close()
