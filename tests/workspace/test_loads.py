"""How often the method reads and loads what it works on: each once, as long as nothing has changed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fakes import ListSource, MemoryShelf, make_bench, make_pairs
from sqlalchemy import event

from mars_engine.core.config import MarsConfig, TriageConfig
from mars_engine.core.records import Pair, Split
from mars_engine.core.workbench import Workbench
from mars_engine.curate.review import record_review
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models import probe
from mars_engine.store import SqlStore
from mars_engine.workspace.rounds import run_rounds, score_model, train_warm_up

CONFIG = MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3))


def bench_with_pairs() -> Workbench:
    bench = make_bench(CONFIG)
    for pairs, split in ((make_pairs(40), "train"), (make_pairs(20, seed=1, first=1000), "heldout")):
        add_pairs(bench, pairs, split)
    return bench


def add_pairs(bench: Workbench, pairs: tuple[Pair, ...], split: Split) -> None:
    import_pairs(ListSource(pairs), bench.store, split=split, clock=bench.clock, progress=bench.progress)


@contextmanager
def counted_reads(store: SqlStore) -> Iterator[Counter[str]]:
    """Count the statements that read all pairs of a split, and all events of a kind of item."""
    counts: Counter[str] = Counter()

    def count(_connection, _cursor, statement: str, parameters: tuple[Any, ...], *_others) -> None:
        told = " ".join(statement.split())
        if told.startswith("SELECT pairs.id, pairs.prompt") and "WHERE pairs.split = ?" in told:
            counts[f"{parameters[0]} pairs"] += 1
        if told.startswith("SELECT reviews.item_kind") and "item_id IN" not in told:
            counts[f"{parameters[0]} events"] += 1

    event.listen(store.database.engine, "before_cursor_execute", count)
    try:
        yield counts
    finally:
        event.remove(store.database.engine, "before_cursor_execute", count)


def counting(calls: Counter[str], name: str, call: Any) -> Any:
    def counted(*args: Any, **options: Any) -> Any:
        calls[name] += 1
        return call(*args, **options)

    return counted


@pytest.fixture
def calls(monkeypatch) -> Counter[str]:
    """Counts loads of models and fits of probes."""
    counts: Counter[str] = Counter()
    monkeypatch.setattr(MemoryShelf, "load", counting(counts, "models loaded", MemoryShelf.load))
    for fit in ("fit_bradley_terry", "refit_bradley_terry"):
        monkeypatch.setattr(probe, fit, counting(counts, "probes fitted", getattr(probe, fit)))
    return counts


def test_two_rounds_read_what_has_not_changed_once_and_load_one_model_a_round(calls):
    bench = bench_with_pairs()
    with counted_reads(bench.store) as reads:
        run_rounds(bench, 2, policy="accept-all")
    once_and_after_each_review = 2
    assert reads == {
        "train pairs": 1,
        "heldout pairs": 1,
        "pair events": once_and_after_each_review,
        "proposal events": 2,
    }
    trained, out_of_fold = 3, CONFIG.triage.seeds * CONFIG.triage.folds
    assert calls == {"models loaded": 2, "probes fitted": trained + out_of_fold}


def test_out_of_fold_models_are_fitted_anew_where_a_decision_has_changed_what_they_are_fitted_on(calls):
    bench = bench_with_pairs()
    score_model(bench, train_warm_up(bench))
    before = calls["probes fitted"]
    score_model(bench, bench.store.models.latest())
    assert calls["probes fitted"] == before
    dropped = bench.store.pairs.pairs("train")[0]
    record_review(bench.store, "pair", dropped.id, "drop", annotator="ann", clock=bench.clock)
    score_model(bench, bench.store.models.latest())
    assert calls["probes fitted"] == before + CONFIG.triage.seeds * CONFIG.triage.folds


def test_kept_readings_follow_what_others_store_and_remove_meanwhile():
    bench = bench_with_pairs()
    kept = bench.store.keeping_readings()
    assert len(kept.pairs.pairs("train")) == 40
    assert kept.reviews.events("pair") == {}
    add_pairs(bench, make_pairs(3, seed=2, first=2000), "train")
    decided = bench.store.pairs.pairs("train")[-1]
    record_review(bench.store, "pair", decided.id, "drop", annotator="ann", clock=bench.clock)
    assert kept.pairs.pairs("train") == bench.store.pairs.pairs("train")
    assert kept.reviews.events("pair") == bench.store.reviews.events("pair") != {}
    bench.store.removal.remove_dataset(bench.store.pairs.datasets()[-1].id)
    assert len(kept.pairs.pairs("train")) == 40
    assert kept.reviews.events("pair") == {}


def test_scoring_loads_the_model_only_where_a_pair_is_left_to_score(calls):
    bench = bench_with_pairs()
    model = train_warm_up(bench)
    score_model(bench, model)
    assert calls["models loaded"] == 0
    add_pairs(bench, make_pairs(3, seed=2, first=2000), "train")
    score_model(bench, model)
    assert calls["models loaded"] == 1
    assert len(bench.store.models.scores(model.id)) == 63
