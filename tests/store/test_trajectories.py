"""Margins after each epoch, and proposals that no linear model scored; and how an older database gets there."""

import sqlite3
from pathlib import Path

import pytest
from fakes import make_pairs
from sqlalchemy import create_engine
from test_store import MODEL, PLAN, a_dataset, a_proposal, fill

from mars_engine.store import open_store, schema
from mars_engine.store.database import MIGRATIONS


@pytest.fixture
def store():
    store = open_store("sqlite://")
    yield store
    store.close()


def test_margins_come_back_by_pair_in_the_order_of_the_epochs(store):
    pairs = make_pairs(3)
    store.pairs.add_dataset(a_dataset(pair_count=3), list(enumerate(pairs, start=1)))
    first, second, third = (pair.id for pair in pairs)
    store.models.save_epoch("m", 2, {first: 0.5, second: -0.25})
    store.models.save_epoch("m", 1, {first: -1.5, second: 1.0})  # the model is not stored yet: it is in training
    store.models.save_epoch("other", 1, {third: 9.0})
    assert store.models.trajectories("m") == {first: [-1.5, 0.5], second: [1.0, -0.25]}
    store.models.save_epoch("m", 2, {first: 0.75, second: 0.0})  # the epoch was gone through again after a kill
    assert store.models.trajectories("m") == {first: [-1.5, 0.75], second: [1.0, 0.0]}
    assert store.models.trajectories("unknown") == {}


def test_models_that_have_them_are_known_once_they_are_stored(store):
    fill(store)
    first = store.pairs.pairs("train")[0].id
    store.models.save_epoch("in training", 1, {first: 1.0})
    assert store.models.with_trajectories() == []
    store.models.save_epoch(MODEL.id, 1, {first: 1.0})
    assert store.models.with_trajectories() == [MODEL]


def test_they_go_with_their_pairs(store):
    pairs = make_pairs(2)
    dataset = a_dataset(pair_count=2)
    store.pairs.add_dataset(dataset, list(enumerate(pairs, start=1)))
    store.models.save_epoch("m", 1, {pair.id: 1.0 for pair in pairs})
    store.removal.remove_dataset(dataset.id)
    assert store.models.trajectories("m") == {}


def test_a_proposal_without_an_information_gain_is_kept_as_that(store):
    fill(store)
    source = store.pairs.pairs("train")[0]
    known, unknown = a_proposal(source, 1), a_proposal(source, 2, information_gain=None)
    store.proposals.add_proposals("settings", {}, [known, unknown], [])
    assert store.proposals.by_id([known.id, unknown.id]) == {known.id: known, unknown.id: unknown}
    gains = dict(zip(store.proposals.facts().ids.astype(str), store.proposals.facts().information_gain, strict=True))
    assert gains[unknown.id] != gains[unknown.id]  # NaN
    assert gains[known.id] == gains[known.id]


def test_a_database_from_before_keeps_its_proposals(tmp_path: Path):
    """Filled by what is of today, its rows carried over into a database that stands at the migration before."""
    from alembic import command
    from alembic.config import Config

    today, older = tmp_path / "today.sqlite", tmp_path / "older.sqlite"
    store = open_store(f"sqlite:///{today}")
    fill(store)
    proposals = [a_proposal(source, variant) for source in store.pairs.pairs("train") for variant in (1, 2)]
    store.proposals.add_proposals("settings", {}, proposals, [])
    store.close()
    engine = create_engine(f"sqlite:///{older}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    engine.dispose()
    database = sqlite3.connect(older)
    database.execute("ATTACH DATABASE ? AS today", [str(today)])
    for name in ("datasets", "pairs", "reward_models", "plans", "plan_rows", "proposals"):
        database.execute(f"INSERT INTO main.{name} SELECT * FROM today.{name}")  # noqa: S608
    database.commit()
    indexes = "SELECT name FROM main.sqlite_master WHERE type = 'index' AND tbl_name = 'proposals' ORDER BY name"
    before = database.execute(indexes).fetchall()
    database.close()

    store = open_store(f"sqlite:///{older}")
    assert sorted(store.proposals.proposals(), key=lambda each: each.id) == sorted(proposals, key=lambda each: each.id)
    assert store.models.latest() == MODEL
    assert store.proposals.latest_plan() == PLAN
    without = a_proposal(store.pairs.pairs("train")[0], 9, information_gain=None)
    store.proposals.add_proposals("settings", {}, [without], [])
    store.close()
    database = sqlite3.connect(older)
    assert database.execute(indexes).fetchall() == before
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (schema.REVISION,)
    database.close()
