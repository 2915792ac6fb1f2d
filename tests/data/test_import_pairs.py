import itertools
from dataclasses import replace

import pytest
from damaged_sources import damaged_sources
from fakes import ListSource, TickingClock, make_pairs

from mars_engine.core.errors import LoadError
from mars_engine.core.import_records import ParsedRow
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Pair
from mars_engine.data.import_pairs import DUPLICATE, import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.store import Store, open_store

CLOCK, PROGRESS = TickingClock(), SilentProgress()


def do_import(store: Store, source, split="train"):
    return import_pairs(source, store, split=split, clock=CLOCK, progress=PROGRESS)


def test_counts_what_was_kept_and_drops_duplicates_by_row():
    store = open_store("sqlite://")
    pairs = make_pairs(5)
    report = do_import(store, ListSource((*pairs, pairs[1])))
    assert (report.rows_read, report.kept, report.already_present) == (6, 5, 0)
    assert report.dropped == {DUPLICATE: 1}
    assert report.examples[0].row == 6
    assert report.examples[0].reason == "duplicate of the pair in row 2"
    assert store.pairs.pairs("train") == list(pairs)


def test_importing_twice_adds_nothing():
    store = open_store("sqlite://")
    source = ListSource(make_pairs(5))
    do_import(store, source)
    report = do_import(store, source)
    assert (report.kept, report.already_present) == (0, 5)
    assert store.pairs.count("train") == 5
    assert len(store.pairs.datasets()) == 1


def test_a_pair_of_the_other_split_is_dropped_since_it_would_leak():
    store = open_store("sqlite://")
    pairs = make_pairs(6)
    do_import(store, ListSource(pairs[:4]))
    report = do_import(store, ListSource(pairs[2:]), split="heldout")
    assert report.kept == 2
    assert sum(report.dropped.values()) == 2
    assert store.pairs.pairs("heldout") == list(pairs[4:])


def test_prompts_that_are_in_the_other_split_are_counted():
    store = open_store("sqlite://")
    pairs = make_pairs(6, pairs_a_prompt=2)
    assert do_import(store, ListSource(pairs[:3])).prompts_in_other_split == 0
    assert do_import(store, ListSource(pairs[3:]), split="heldout").prompts_in_other_split == 1


def test_longer_wins_is_reported():
    prompt = make_pairs(1)[0].prompt
    source = ListSource((Pair.of(prompt, "longer", "short"), Pair.of(prompt, "a", "bb"), Pair.of(prompt, "cc", "dd")))
    assert do_import(open_store("sqlite://"), source).longer_wins == pytest.approx((1 + 0 + 0.5) / 3)


def test_a_source_that_breaks_in_the_middle_leaves_nothing():
    class Breaking(ListSource):
        def rows(self):
            yield from super().rows()[:3]
            raise LoadError("the file ends in the middle of a row")

    store = open_store("sqlite://")
    with pytest.raises(LoadError):
        do_import(store, Breaking(make_pairs(5)))
    assert store.pairs.count("train") == 0
    assert store.pairs.datasets() == []


def test_nothing_usable_is_an_error_with_the_reasons():
    class Dropping(ListSource):
        def rows(self):
            return [ParsedRow(1, dropped=("empty side",)), ParsedRow(2, dropped=("empty side",))]

    store = open_store("sqlite://")
    with pytest.raises(LoadError, match="2 empty side"):
        do_import(store, Dropping(()))
    assert store.pairs.datasets() == []


@pytest.mark.slow
def test_two_hundred_damaged_inputs_never_crash_and_never_leave_a_bad_row(tmp_path):
    kinds = set()
    outcomes = {"refused": 0, "imported": 0}
    for kind, path in itertools.islice(damaged_sources(tmp_path, 200, seed=7), 200):
        kinds.add(kind)
        store = open_store("sqlite://")
        try:
            report = do_import(store, open_source(str(path)))
        except LoadError:
            outcomes["refused"] += 1
            assert store.pairs.datasets() == [], f"{kind}: a refused import left a dataset"
            assert store.pairs.count("train") == 0, f"{kind}: a refused import left pairs"
        else:
            outcomes["imported"] += 1
            kept = store.pairs.pairs("train")
            assert len(kept) == report.kept
            assert sum(report.dropped.values()) > 0, f"{kind}: damage was not counted"
            assert all(pair.chosen.strip() and pair.rejected.strip() for pair in kept)
        store.close()
    assert len(kinds) >= 10
    assert sum(outcomes.values()) == 200
    assert min(outcomes.values()) > 20


class OthersImport:
    """A store's pairs, where somebody else imports the same pairs between our look and our storing."""

    def __init__(self, store: Store, others: ListSource, split) -> None:
        self.store, self.others, self.split, self.times = store, others, split, 0

    def __getattr__(self, name):
        return getattr(self.store.pairs, name)

    def add_dataset(self, dataset, pairs, *, since=None):
        if self.times == 0:
            self.times = 1
            do_import(self.store, self.others, split=self.split)
        return self.store.pairs.add_dataset(dataset, pairs, since=since)


@pytest.mark.parametrize(("split", "kept", "present", "leaking"), [("train", 1, 3, 0), ("heldout", 1, 0, 3)])
def test_what_others_import_meanwhile_is_seen(split, kept, present, leaking):
    store, pairs = open_store("sqlite://"), make_pairs(4)
    crowded = replace(store, pairs=OthersImport(store, ListSource(pairs[:3], name="theirs"), split))
    report = do_import(crowded, ListSource(pairs))
    assert (report.kept, report.already_present, sum(report.dropped.values())) == (kept, present, leaking)
    assert store.pairs.count("train") + store.pairs.count("heldout") == 4
    stored = store.pairs.datasets()[-1]
    assert (stored.report["kept"], stored.pair_count) == (kept, kept + present)
