"""Columns and searches of the store, and sets of pairs, on SQLite and, where a server is named, on PostgreSQL."""

import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import create_engine, make_url, text

from mars_engine.core.errors import StoreError
from mars_engine.core.records import DatasetRecord, ModelRecord, Pair, PairSet, Plan, PlanRow, Rewards, TriageRow, Turn
from mars_engine.core.review_records import ReviewEvent
from mars_engine.store import Store, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVER = os.environ.get("MARS_TEST_DATABASE_URL", "")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request) -> Iterator[Store]:
    if request.param == "sqlite":
        opened = open_store("sqlite://")
        yield opened
        opened.close()
        return
    if not SERVER:
        pytest.skip("MARS_TEST_DATABASE_URL names no PostgreSQL server")
    name = f"mars_test_{secrets.token_hex(8)}"
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    url = make_url(SERVER).update_query_dict({"options": f"-csearch_path={name}"})
    opened = open_store(url.render_as_string(hide_password=False))
    yield opened
    opened.close()
    with engine.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


def a_pair(number: int, *, prompt: str = "", chosen: str = "", rejected: str = "", subset: str = "chat") -> Pair:
    turns = [Turn("user", prompt or f"question {number}"), Turn("assistant", "hm"), Turn("expert", "well")]
    return Pair.of(turns, chosen or f"good {number}", rejected or f"bad {number}", subset=subset)


def add(store: Store, name: str, pairs: list[Pair], split: str = "train") -> None:
    record = DatasetRecord(name, name, name, "trl", split, name, NOON, len(pairs))
    store.pairs.add_dataset(record, list(enumerate(pairs)))


def a_model(identity: str = "m") -> ModelRecord:
    return ModelRecord(identity, "probe", identity, {}, {}, "", "", 0, NOON)


def text_ids(ids) -> list[str]:
    return [pair_id.decode() for pair_id in ids]


def test_pairs_come_in_the_order_of_their_import_with_their_facts(store):
    first, second = [a_pair(n) for n in (9, 3, 7)], [a_pair(1, chosen="четыре", subset="код"), a_pair(3)]
    add(store, "first", first)
    add(store, "second", second, split="heldout")
    columns = store.browse.pairs()
    assert text_ids(columns.ids) == [pair.id for pair in (*first, second[0])]
    assert columns.split.tolist() == [b"train"] * 3 + [b"heldout"]
    assert [columns.dataset_ids[code] for code in columns.dataset] == ["first"] * 3 + ["second"]
    assert [columns.subsets[code] for code in columns.subset] == ["chat"] * 3 + ["код"]
    lengths = [store.browse.lengths(split) for split in ("train", "heldout")]
    assert sorted(text_ids(np.concatenate([each.pair_ids for each in lengths]))) == sorted(text_ids(columns.ids))
    assert np.concatenate([each.chosen for each in lengths]).tolist() == [6, 6, 6, 6]
    assert np.concatenate([each.rejected for each in lengths]).tolist() == [5, 5, 5, 5]


def test_an_empty_store_has_empty_columns_of_the_right_types(store):
    columns = store.browse.pairs()
    assert (columns.ids.dtype, len(columns.ids)) == (np.dtype("S24"), 0)
    assert store.browse.newest_scored_model() is None
    assert store.browse.margins("m").margin.dtype == np.float32
    assert store.browse.proposals().ids.dtype == np.dtype("S24")
    assert store.browse.distance_encoders() == []
    assert store.browse.reviewed().newest == 0
    assert store.browse.revisions() == {}


def test_margins_triage_plans_and_distances_come_by_pair(store):
    pairs = [a_pair(n) for n in range(3)]
    add(store, "set", pairs)
    ids = [pair.id for pair in pairs]
    store.models.add(a_model("m"))
    store.models.add(a_model("unused"))
    store.models.save_scores("m", ids[:2], Rewards(np.array([1.0, 0.0]), np.array([0.25, 2.0])))
    store.models.save_triage("m", [TriageRow(ids[2], -1.5, 0.5, 1.0, "suspected")])
    plan = Plan("p", "m", 1, "signed", 7, {}, {}, NOON)
    store.proposals.add_plan(plan, [PlanRow(ids[1], -2.0, 0.5, 7, 0.125, "low")])
    store.pairs.save_distances("small", {ids[0]: 0.5})
    store.pairs.save_distances("large", {ids[0]: 0.75, ids[2]: 1.5})
    assert store.browse.newest_scored_model() == a_model("m")
    scored = store.browse.margins("m")
    assert dict(zip(text_ids(scored.pair_ids), scored.margin.tolist(), strict=True)) == {ids[0]: 0.75, ids[1]: -2.0}
    triage = store.browse.triage("m")
    assert (text_ids(triage.pair_ids), triage.margin_mean.tolist()) == ([ids[2]], [-1.5])
    assert (triage.margin_std.tolist(), triage.verdict.tolist()) == ([0.5], [b"suspected"])
    rows = store.browse.plan_rows("p")
    assert (text_ids(rows.pair_ids), rows.budget.tolist(), rows.gate.tolist()) == ([ids[1]], [7], [b"low"])
    assert rows.distance.tolist() == [0.125]
    assert store.browse.distance_encoders() == ["large", "small"]
    stored = store.browse.distances("large")
    found = dict(zip(text_ids(stored.pair_ids), stored.distance.tolist(), strict=True))
    assert found == {ids[0]: 0.75, ids[2]: 1.5}


def test_what_was_reviewed_is_told_since_an_event(store):
    def event(kind, item, sequence):
        return ReviewEvent(kind, item, "skip", "ann", sequence, NOON)

    store.reviews.append([event("pair", "a", 1), event("proposal", "x", 2), event("pair", "a", 3)])
    first = store.browse.reviewed()
    assert (first.pair_ids, first.proposal_ids) == ({"a"}, {"x"})
    store.reviews.append([event("pair", "b", 4)])
    later = store.browse.reviewed(after=first.newest)
    assert (later.pair_ids, later.proposal_ids) == ({"b"}, set())
    assert store.browse.reviewed(after=later.newest) == type(later)(later.newest, frozenset(), frozenset())


def test_words_are_found_in_each_text_case_aside_and_as_they_are(store):
    pairs = [
        a_pair(0, prompt="How do I bake Bread?"),
        a_pair(1, chosen='Say "50% off_today"\nnow'),
        a_pair(2, rejected="ÜBER uns \\ C:\\temp"),
        a_pair(3, prompt='line\n"two"'),
    ]
    add(store, "set", pairs)
    numbers = {pair.id: number for number, pair in enumerate(pairs)}

    def found(words: str) -> list[int]:
        return [numbers[pair_id] for pair_id in store.browse.matching(words)]

    assert found("BREAD") == [0]
    assert found("bake bread") == [0]
    assert found("bread bake") == []
    assert found("50% off_") == [1]
    assert found("50%off") == []
    assert found("5_% off") == []
    assert found('today"\nnow') == [1]
    assert found("über uns \\ c:\\") == [2]
    assert found('"TWO"') == [3]
    assert found('line\n"two"') == [3]


def test_roles_and_the_form_in_which_a_prompt_is_stored_are_no_texts(store):
    add(store, "set", [a_pair(0), a_pair(1, prompt="the user and the Expert")])
    for words in ("role", "content", '{"role"', "assistant", '","content":"'):
        assert store.browse.matching(words) == []
    assert len(store.browse.matching("user")) == 1
    assert len(store.browse.matching("expert")) == 1


def test_other_pairs_with_the_same_prompt(store):
    pairs = [a_pair(0, prompt="same"), a_pair(1), a_pair(2, prompt="same"), a_pair(3, prompt="same")]
    add(store, "set", pairs)
    assert store.browse.same_prompt(pairs[2].id) == [pairs[0].id, pairs[3].id]
    assert store.browse.same_prompt("unknown") == []


def test_a_pairs_rewards_under_all_models(store):
    pairs = [a_pair(0), a_pair(1)]
    add(store, "set", pairs)
    for name, chosen in (("old", 2.0), ("new", 3.0), ("idle", None)):
        store.models.add(a_model(name))
        if chosen is not None:
            store.models.save_scores(name, [pairs[1].id], Rewards(np.array([chosen]), np.array([0.5])))
    rewards = store.browse.rewards_of(pairs[1].id)
    assert [(each.model_label, each.margin) for each in rewards] == [("old", 1.5), ("new", 2.5)]
    assert store.browse.rewards_of(pairs[0].id) == []


def test_a_set_of_pairs_is_kept_listed_and_forgotten(store):
    pairs = [a_pair(n) for n in range(4)]
    add(store, "set", pairs)
    ids = [pair.id for pair in pairs]
    older, newer = (PairSet(name, f"set {name}", "ann", NOON, 2) for name in ("a", "b"))
    store.pair_sets.add(older, [ids[3], ids[0], ids[3]])
    store.pair_sets.add(newer, ids)
    store.pair_sets.add(PairSet("a", "another", "bob", NOON, 1), ids[1:2])
    assert [(each.id, each.name, each.pairs) for each in store.pair_sets.all()] == [
        ("b", "set b", 4),
        ("a", "set a", 2),
    ]
    assert store.pair_sets.members("a") == [ids[0], ids[3]]
    before = store.browse.revisions()["sets"]
    store.pair_sets.remove("b")
    assert [each.id for each in store.pair_sets.all()] == ["a"]
    assert store.pair_sets.members("b") == []
    assert store.browse.revisions()["sets"] > before
    assert store.pairs.by_id(ids).keys() == set(ids)


def test_a_set_with_a_pair_that_is_not_stored_is_refused_whole(store):
    add(store, "set", [a_pair(0)])
    with pytest.raises(StoreError):
        store.pair_sets.add(PairSet("a", "a", "ann", NOON, 1), [a_pair(0).id, "unknown"])
    assert store.pair_sets.all() == []
