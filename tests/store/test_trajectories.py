"""Margins after each epoch, and proposals that no linear model scored."""

import pytest
from fakes import make_pairs
from test_store import MODEL, a_dataset, a_proposal, fill

from mars_engine.store import open_store


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
