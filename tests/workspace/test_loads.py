"""How often pairs, decisions, models and runs are loaded, and models fitted: a step that loads more says so here."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fakes import ListSource, MemoryShelf, make_bench, make_pairs, record_review
from sqlalchemy import event

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig, TriageConfig
from mars_engine.core.records import ModelRecord, Pair, Split
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.store import Store
from mars_engine.workspace.rounds import run_rounds


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Collect the SQL that is sent to a store's database, on one line each, with its parameters."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append(f"{' '.join(statement.split())} {parameters}")

    event.listen(store.database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(store.database.engine, "before_cursor_execute", note)


def readings_of_all_pairs(sent: Sequence[str]) -> int:
    return sum("pairs.chosen" in each and "WHERE pairs.split = ? ORDER BY pairs.ordinal (" in each for each in sent)


def readings_of_decisions(sent: Sequence[str]) -> int:
    """Readings of all decisions about pairs' labels."""
    return sum("FROM reviews WHERE reviews.item_kind = ? ORDER BY" in each and "('pair',)" in each for each in sent)


@dataclass
class CountingShelf(MemoryShelf):
    loads: int = 0

    def load(self, record: ModelRecord) -> Probe:
        self.loads += 1
        return super().load(record)


def bench_with_pairs() -> Workbench:
    config = MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3))
    bench = replace(make_bench(config), shelf=CountingShelf())
    for count, split, first in ((40, "train", 0), (20, "heldout", 1000)):
        import_into(bench, make_pairs(count, first=first), split)
    return bench


def import_into(bench: Workbench, pairs: tuple[Pair, ...], split: Split) -> None:
    import_pairs(ListSource(pairs), bench.store, split=split, clock=bench.clock, progress=bench.progress)


@contextmanager
def fits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[int]]:
    """Count the probes that are fitted, by the number of pairs that they are fitted on."""
    found: Counter[int] = Counter()

    def counted(plain: Any) -> Any:
        def fitted(self: ProbeTrainer, rows: Any, *args: Any, **options: Any) -> Any:
            found[len(rows)] += 1
            return plain(self, rows, *args, **options)

        return fitted

    with monkeypatch.context() as patch:
        patch.setattr(ProbeTrainer, "fit", counted(ProbeTrainer.fit))
        patch.setattr(ProbeTrainer, "refit", counted(ProbeTrainer.refit))
        yield found


@pytest.mark.slow
def test_two_rounds_read_pairs_once_load_a_model_a_round_and_fit_the_fold_models_once(monkeypatch):
    bench = bench_with_pairs()
    with statements(bench.store) as sent, fits(monkeypatch) as fitted:
        reports = run_rounds(bench, 2, policy="accept-all")
    assert [report.number for report in reports] == [1, 2]
    assert readings_of_all_pairs(sent) == 2, "each split once"
    assert readings_of_decisions(sent) == 1 + 1, "at the beginning, and after the first round's reviews"
    assert bench.shelf.loads == 2
    smaller_than_all = sum(count for pairs, count in fitted.items() if pairs < 40)
    assert smaller_than_all == 2 * 3, "three folds under two draws, which triage and the quality gates share"


def test_pairs_that_others_import_meanwhile_are_read():
    bench = bench_with_pairs()
    with bench.store.reading_once():
        before = bench.store.pairs.pairs("train")
        before.clear()  # a list of its own
        import_into(bench, make_pairs(3, first=500), "train")
        assert len(bench.store.pairs.pairs("train")) == 43
        pair = bench.store.pairs.pairs("train")[0]
        assert bench.store.reviews.events("pair") == {}
        record_review(bench.store, "pair", pair.id, "flip", annotator="ann", clock=bench.clock)
        assert bench.store.reviews.events("pair").keys() == {pair.id}
        (dataset, *_) = bench.store.pairs.datasets()
        bench.store.removal.remove_dataset(dataset.id)
        assert len(bench.store.pairs.pairs("train")) == 3
        assert bench.store.reviews.events("pair") == {}


def test_outside_of_it_nothing_is_kept():
    bench = bench_with_pairs()
    with bench.store.reading_once(), bench.store.reading_once():
        bench.store.pairs.pairs("train")
    with statements(bench.store) as sent:
        bench.store.pairs.pairs("train")
    assert readings_of_all_pairs(sent) == 1


def test_scoring_again_loads_no_model():
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    first = score_model(bench, model)
    assert bench.shelf.loads == 0, "training has stored the rewards of all pairs"
    import_into(bench, make_pairs(3, first=500), "train")
    assert score_model(bench, model) != first
    assert bench.shelf.loads == 1, "three pairs are new to it"
    score_model(bench, model)
    assert bench.shelf.loads == 1
