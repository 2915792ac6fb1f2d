"""Removing a dataset or everything, and copying the database, on SQLite and, where a server is named, PostgreSQL."""

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from chat_tools import an_answer
from database_content import database_content
from fakes import ListSource, TickingClock, make_bench, make_pairs, record_review
from sqlalchemy import create_engine, inspect, make_url, select, text

from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import StoreError
from mars_engine.core.judge_records import LabelOpinion
from mars_engine.core.records import EvaluationRecord, PairSet
from mars_engine.core.review_records import ReviewEvent
from mars_engine.core.review_state import POLICY_PREFIX
from mars_engine.data.import_pairs import import_pairs
from mars_engine.store import Store, open_store
from mars_engine.store.schema import metadata
from mars_engine.workspace.rounds import run_rounds

SERVER = os.environ.get("MARS_TEST_DATABASE_URL", "")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mars.sqlite'}"
        return
    if not SERVER:
        pytest.skip("MARS_TEST_DATABASE_URL names no PostgreSQL server")
    name = f"mars_test_{secrets.token_hex(8)}"
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    yield make_url(SERVER).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.fixture
def imported(url: str) -> Iterator[Workbench]:
    """A workspace of two training sets and a held-out one."""
    opened = make_bench(url=url)
    for name, split, first in (("one", "train", 0), ("two", "train", 100), ("three", "heldout", 200)):
        source = ListSource(make_pairs(12, first=first, seed=first), name=name)
        import_pairs(source, opened.store, split=split, clock=opened.clock, progress=opened.progress)
    yield opened
    opened.store.close()


@pytest.fixture
def bench(imported: Workbench) -> Workbench:
    """The workspace after a round, in which people have decided."""
    run_rounds(imported, 1, policy="accept-all")
    store, clock = imported.store, imported.clock
    for first in (0, 100):
        pair = make_pairs(12, first=first, seed=first)[0]
        proposal = store.proposals.proposals(source_ids=[pair.id])[0]
        for kind, item, action in (("pair", pair.id, "flip"), ("proposal", proposal.id, "reject")):
            record_review(store, kind, item, action, annotator="ada", clock=clock)
            now = clock()
            hour = now + timedelta(hours=1)
            store.leases.take(kind, [item], annotator="ada", count=9, readers={}, now=now, until=hour)
        store.pair_sets.add(PairSet(f"set{first}", "mine", "ada", clock(), 1), [pair.id])
    store.chat.keep([an_answer(source_id=make_pairs(12, first=first, seed=first)[0].id) for first in (0, 100)])
    store.pairs.save_distances("encoder", {each.id: 0.5 for each in store.pairs.pairs("train")})
    store.opinions.keep(
        [
            LabelOpinion("recorded", each.id, "tie", "tie", "tie", "", retryable=False, at=clock())
            for each in store.pairs.pairs("train")
        ]
    )
    return imported


def dataset_id(bench: Workbench, name: str) -> str:
    return next(each.id for each in bench.store.pairs.datasets() if each.name == name)


def mentioned(store: Store, ids: set[str]) -> dict[str, int]:
    """How many rows of each table mention any of the ids, done marks by their beginning."""
    found: dict[str, int] = {}
    with store.database.read() as connection:
        for table in metadata.sorted_tables:
            rows = connection.execute(select(table)).all()
            found[table.name] = sum(any(str(value)[:24] in ids for value in row) for row in rows)
    return {name: count for name, count in found.items() if count}


@pytest.mark.slow
def test_a_dataset_goes_with_all_that_is_about_its_pairs_and_nothing_else(bench):
    gone = {pair.id for pair in make_pairs(12, first=0, seed=0)}
    kept = {pair.id for pair in make_pairs(12, first=100, seed=100)}
    proposals = {each.id for each in bench.store.proposals.proposals(source_ids=gone)}
    kept_before = mentioned(bench.store, kept)
    assert {"scores", "triage", "plan_rows", "proposals", "composed_pairs", "reviews", "leases"} <= set(kept_before)
    assert {"pair_set_members", "distances", "proposal_sources", "chat_answers", "label_opinions"} <= set(kept_before)
    models = bench.store.models.all()
    outlook = bench.store.removal.outlook(dataset_id(bench, "one"))
    removed = bench.store.removal.remove_dataset(dataset_id(bench, "one"))
    assert removed == outlook
    assert (removed.pairs, removed.proposals) == (12, len(proposals))
    assert removed.decisions == len(proposals) + 2, "the policy's, and two of ada's"
    assert removed.composed_pairs > 0
    assert mentioned(bench.store, gone | proposals) == {}
    assert mentioned(bench.store, kept) == kept_before
    assert [each.name for each in bench.store.pairs.datasets()] == ["two", "three"]
    assert [each.id for each in bench.store.pair_sets.all()] == ["set100"]
    assert bench.store.models.all() == models, "they are records of what was trained"


@pytest.mark.slow
def test_the_method_goes_on_after_a_removal_and_a_removed_dataset_can_come_again(bench):
    bench.store.removal.remove_dataset(dataset_id(bench, "one"))
    (report,) = run_rounds(bench, 1, policy="accept-all")
    assert report.score.train.pairs == 12
    source = ListSource(make_pairs(12, first=0, seed=0), name="one")
    again = import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
    assert again.kept == 12
    run_rounds(bench, 1, policy="accept-all")
    ids = [pair.id for pair in make_pairs(12, first=0, seed=0)]
    assert bench.store.proposals.proposals(source_ids=ids), "no done mark kept them from being proposed for"


def test_the_indexes_made_for_a_removal_are_gone_afterwards(imported):
    def indexes() -> set[str | None]:
        with imported.store.database.read() as connection:
            look = inspect(connection)
            return {index["name"] for table in metadata.sorted_tables for index in look.get_indexes(table.name)}

    before = indexes()
    imported.store.removal.remove_dataset(dataset_id(imported, "one"))
    assert indexes() == before


def test_a_dataset_that_is_not_there_cannot_be_removed(imported):
    with pytest.raises(StoreError, match="no dataset"):
        imported.store.removal.remove_dataset("unknown")


def test_everything_goes_and_the_revisions_move_on(bench, url):
    bench.store.evaluations.add(EvaluationRecord("e", "rewardbench", "m", "m", {}, {}, "", bench.clock()))
    before = bench.store.browse.revisions()
    decisions = sum(
        len(events) for kind in ("pair", "proposal") for events in bench.store.reviews.events(kind).values()
    )
    removed = bench.store.removal.remove_everything()
    assert (removed.datasets, removed.pairs, removed.decisions) == (3, 36, decisions)
    assert (removed.models, removed.evaluations) == (2, 1)
    assert not any(database_content(url).values())
    after = bench.store.browse.revisions()
    assert all(after[subject] > before.get(subject, 0) for subject in (*before, "removals"))


def test_a_copy_made_while_another_writes_is_of_one_moment(tmp_path):
    """Each write transaction stores two events; a copy has both of each or none."""
    url = f"sqlite:///{tmp_path / 'mars.sqlite'}"
    writer, copied = open_store(url), open_store(url)
    stop, wrote, clock = threading.Event(), threading.Event(), TickingClock()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            items = [("pair", f"p{number}"), ("pair", f"q{number}")]
            writer.reviews.append(
                [ReviewEvent(kind, item, "drop", f"{POLICY_PREFIX}x", number, clock()) for kind, item in items]
            )
            wrote.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        counts = []
        for number in range(5):
            path = tmp_path / f"copy-{number}.sqlite"
            wrote.clear()
            assert wrote.wait(60), "the other goes on writing"
            copied.copy_to(path)
            assert {each.name for each in tmp_path.glob(f"copy-{number}*")} == {path.name}, "one file"
            with sqlite3.connect(path) as connection:
                events = connection.execute("SELECT sequence, count(*) FROM reviews GROUP BY sequence").fetchall()
            connection.close()
            assert all(count == 2 for _, count in events)
            counts.append(len(events))
    finally:
        stop.set()
        thread.join()
    assert counts[-1] > counts[0], "it was written to meanwhile"
    writer.close()
    copied.close()


def test_a_server_is_not_copied_but_pg_dump_named(imported, url, tmp_path):
    if url.startswith("sqlite"):
        with pytest.raises(StoreError, match="cannot be copied"):
            imported.store.copy_to(tmp_path / "missing" / "copy.sqlite")
    else:
        with pytest.raises(StoreError, match="pg_dump"):
            imported.store.copy_to(tmp_path / "copy.sqlite")
