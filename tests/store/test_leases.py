"""Leases: nobody is given what somebody else reads, and nothing stays locked away."""

import os
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from mars_engine.core.review_records import Lease
from mars_engine.store import Store, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=10)
ITEMS = [f"p{number:03}" for number in range(100)]
FIVE = ["ada", "bob", "cyd", "dan", "eve"]


@pytest.fixture
def store(shared_url: str):
    opened = open_store(shared_url)
    yield opened
    opened.close()


def take(store: Store, annotator: str, count: int, *, candidates=ITEMS, readers=None, now=NOON) -> list[str]:
    return store.leases.take(
        "proposal",
        candidates,
        annotator=annotator,
        count=count,
        readers=readers or {},
        now=now,
        until=now + timedelta(minutes=10),
    )


def test_the_first_free_candidates_are_leased_in_their_order(store):
    assert take(store, "ada", 3) == ["p000", "p001", "p002"]
    assert take(store, "bob", 2) == ["p003", "p004"]
    assert take(store, "cyd", 2, candidates=["p009", "p001", "p005"]) == ["p009", "p005"]
    assert store.leases.standing("proposal", now=NOON) == [
        Lease("proposal", item, name, LATER)
        for name, item in [
            *[("ada", item) for item in ITEMS[:3]],
            *[("bob", item) for item in ITEMS[3:5]],
            ("cyd", "p005"),
            ("cyd", "p009"),
        ]
    ]


def test_own_leases_are_renewed_and_count(store):
    take(store, "ada", 3)
    soon = NOON + timedelta(minutes=9)
    assert take(store, "ada", 3, now=soon) == ["p000", "p001", "p002"]
    assert {lease.expires_at for lease in store.leases.standing("proposal", now=LATER)} == {
        LATER + timedelta(minutes=9)
    }
    assert take(store, "ada", 4, candidates=["p050", "p002", "p051"]) == ["p050", "p002"]


def test_a_lease_that_has_ended_is_free_for_others_at_that_moment(store):
    take(store, "ada", 100)
    assert take(store, "bob", 1, now=LATER - timedelta(microseconds=1)) == []
    assert take(store, "bob", 2, now=LATER) == ["p000", "p001"]
    assert {lease.annotator for lease in store.leases.standing("proposal", now=NOON)} == {"bob"}


def test_as_many_read_an_item_as_may(store):
    overlap = {"p000": 2, "p002": 3}
    assert take(store, "ada", 3, readers=overlap) == ["p000", "p001", "p002"]
    assert take(store, "bob", 3, readers=overlap) == ["p000", "p002", "p003"]
    assert take(store, "cyd", 2, readers=overlap) == ["p002", "p004"]
    assert take(store, "dan", 1, readers=overlap) == ["p005"]


def test_released_items_are_free_and_others_leases_stay(store):
    take(store, "ada", 2)
    take(store, "bob", 1)
    store.leases.release("proposal", ["p000", "p002", "unknown"], annotator="ada")
    store.leases.release("pair", ["p001"], annotator="ada")
    assert [(lease.annotator, lease.item_id) for lease in store.leases.standing("proposal", now=NOON)] == [
        ("ada", "p001"),
        ("bob", "p002"),
    ]
    assert take(store, "cyd", 1) == ["p000"]


def test_kinds_are_kept_apart(store):
    take(store, "ada", 1)
    pairs = store.leases.take("pair", ITEMS, annotator="bob", count=1, readers={}, now=NOON, until=LATER)
    assert pairs == ["p000"]


def test_nothing_wanted_is_nothing_leased(store):
    assert take(store, "ada", 0) == []
    assert take(store, "ada", 5, candidates=[]) == []


@pytest.mark.parametrize("readers", [1, 2])
def test_five_threads_on_one_queue_never_hold_an_item_more_often_than_it_may_be_read(store, readers):
    """Each takes, decides (which releases) and takes again, until the queue is empty."""
    may_read = dict.fromkeys(ITEMS, readers)
    left = dict(may_read)
    read_by: dict[str, list[str]] = {item: [] for item in ITEMS}
    holders: Counter[str] = Counter()
    overheld: list[str] = []
    guard = threading.Lock()

    def work(name: str) -> None:
        while True:
            with guard:
                wanted = [item for item in ITEMS if left[item] > 0 and name not in read_by[item]]
            if not wanted:
                return
            leased = take(store, name, 7, candidates=wanted, readers=may_read)
            with guard:
                holders.update(leased)
                overheld.extend(item for item in leased if holders[item] > readers)
                for item in leased:
                    left[item] -= 1
                    read_by[item].append(name)
                holders.subtract(leased)
            store.leases.release("proposal", leased, annotator=name)

    threads = [threading.Thread(target=work, args=(name,)) for name in FIVE]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert overheld == []
    # An item decided between another's look and its lease may be read once more; it is never held by too many.
    assert all(len(names) >= readers for names in read_by.values())
    assert store.leases.standing("proposal", now=NOON) == []


TAKE_IN_A_PROCESS = """
import sys
from datetime import datetime, timedelta
from mars_engine.store import open_store

url, annotator, noon = sys.argv[1:]
store = open_store(url)
now = datetime.fromisoformat(noon)
sys.stdin.readline()
items = [f"p{number:03}" for number in range(100)]
for count in (5, 10, 15):
    leased = store.leases.take(
        "proposal", items, annotator=annotator, count=count, readers={}, now=now, until=now + timedelta(minutes=10)
    )
    assert len(leased) == count
store.close()
"""


@pytest.mark.slow
def test_five_processes_never_lease_an_item_twice_and_none_is_stuck_when_they_are_killed(store, shared_url):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE_IN_A_PROCESS, shared_url, name, NOON.isoformat()],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in FIVE
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    held = Counter(lease.item_id for lease in store.leases.standing("proposal", now=NOON))
    assert len(held) == 75
    assert set(held.values()) == {1}
    # The processes are gone without a word; once their leases have ended, everything is free again.
    assert take(store, "zoe", 100, now=LATER) == ITEMS
