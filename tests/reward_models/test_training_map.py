"""The map of a training, held to a small one that was worked out by hand."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import NotReadyError
from mars_engine.core.records import ModelRecord
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.train import train_warm_up
from mars_engine.reward_models.training_map import (
    TELLING,
    TrainingMap,
    choose_mapped_model,
    map_model,
    mapped_models,
    summarize_map,
    write_map,
)

UP = float(np.log(3))  # σ is 0.75 there, and 0.25 at −UP
STEADY, NEVER, FORGOTTEN, LATE, TWICE = range(5)
MARGINS = ((UP, UP, UP, UP), (-UP, -UP, -UP, -UP), (UP, -UP, -UP, -UP), (-UP, UP, UP, UP), (UP, -UP, UP, -UP))


@pytest.fixture(scope="module")
def bench() -> Workbench:
    bench = make_bench()
    import_pairs(
        ListSource(make_pairs(len(MARGINS))), bench.store, split="train", clock=bench.clock, progress=bench.progress
    )
    train_warm_up(bench)
    return bench


@pytest.fixture(scope="module")
def ids(bench) -> list[str]:
    return [pair.id for pair in bench.store.pairs.pairs("train")]


@pytest.fixture(scope="module")
def trained(bench, ids) -> ModelRecord:
    (model,) = bench.store.models.all()
    for epoch, margins in enumerate(zip(*MARGINS, strict=True), start=1):
        bench.store.models.save_epoch(model.id, epoch, dict(zip(ids, margins, strict=True)))
    return model


@pytest.fixture(scope="module")
def found(bench, trained) -> TrainingMap:
    return map_model(bench.store, trained)


def test_each_pair_stands_where_it_was_worked_out_to_and_the_most_telling_first(found, ids):
    order = [ids.index(pair_id.decode()) for pair_id in found.pair_ids]
    assert order == [NEVER, TWICE, FORGOTTEN, LATE, STEADY]
    places = found.places
    assert places.confidence == pytest.approx([0.25, 0.5, 0.375, 0.625, 0.75])
    assert places.variability == pytest.approx([0, 0.25, np.sqrt(3) / 8, np.sqrt(3) / 8, 0])
    assert places.correctness.tolist() == [0, 0.5, 0.25, 0.75, 1]
    assert places.forgotten.tolist() == [0, 2, 1, 0, 0]
    assert places.never_learned.tolist() == [True, False, False, False, False]
    assert found.margins.tolist() == [list(MARGINS[place]) for place in order]


def test_it_counts_what_its_pairs_were(found, trained):
    counts = summarize_map(found)
    assert (counts.model_id, counts.model_label, counts.epochs) == (trained.id, "warm-up", 4)
    assert (counts.pairs, counts.never_learned, counts.forgotten, counts.ambiguous) == (5, 1, 2, 3)


def test_each_list_has_its_pairs_the_most_telling_first(found, ids):
    lists = {which: [ids.index(found.pair_ids[place].decode()) for place in found.telling(which)] for which in TELLING}
    assert lists["never learned"] == [NEVER]
    assert lists["most forgotten"] == [TWICE, FORGOTTEN]
    assert lists["most variable"][0] == TWICE
    assert sorted(lists["most variable"]) == [FORGOTTEN, LATE, TWICE]


def test_what_was_decided_since_moves_nothing(found, trained, bench, ids):
    for place, action in ((NEVER, "flip"), (TWICE, "drop")):
        record_review(bench.store, "pair", ids[place], action, annotator="ann", clock=bench.clock)
    again = map_model(bench.store, trained)
    assert again.pair_ids.tolist() == found.pair_ids.tolist()
    assert again.margins.tolist() == found.margins.tolist()


def test_a_file_has_a_row_a_pair_with_its_margin_after_each_epoch(found):
    text = io.StringIO()
    write_map(found, text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert [row["pair_id"].encode() for row in rows] == found.pair_ids.tolist()
    assert [float(row["confidence"]) for row in rows] == found.places.confidence.tolist()
    assert [row["never_learned"] for row in rows] == ["True", *["False"] * 4]
    after = [[float(row[f"score_margin_after_epoch_{epoch}"]) for epoch in (1, 2, 3, 4)] for row in rows]
    assert after == found.margins.tolist()
    assert "margin" not in rows[0]  # trainers take a column of that name for an objective


def test_of_too_many_pairs_the_most_telling_are_drawn_and_an_even_sample_of_the_rest(found):
    assert found.to_draw().tolist() == [0, 1, 2, 3, 4]
    assert found.to_draw(4).tolist() == [0, 1, 2, 4]
    many = replace(found, pair_ids=np.arange(100_001).astype("S24"))
    drawn = many.to_draw()
    assert len(set(drawn.tolist())) == 20_000
    assert drawn[:2_000].tolist() == list(range(2_000))
    assert drawn[-1] == 100_000
    assert set(np.diff(drawn[2_000:])) <= {5, 6}


def test_the_newest_training_that_kept_margins_is_taken_unless_another_is_named(bench, trained):
    newer = replace(trained, id="e" * 24)
    bench.store.models.add(newer)
    bench.store.models.add(replace(trained, id="f" * 24))  # a probe, say
    bench.store.models.save_epoch(newer.id, 1, {bench.store.pairs.pairs("train")[0].id: 1.0})
    assert [model.label for model in mapped_models(bench.store)] == [
        f"warm-up ({trained.id[:6]})",
        "warm-up (eeeeee)",
    ]
    assert choose_mapped_model(bench.store) == newer
    assert choose_mapped_model(bench.store, trained.id) == trained
    assert choose_mapped_model(bench.store, "warm-up") == newer
    with pytest.raises(NotReadyError, match="has kept its margins"):
        choose_mapped_model(bench.store, "f" * 24)


def test_without_such_a_training_it_says_how_to_have_one():
    store = make_bench().store
    with pytest.raises(NotReadyError) as refusal:
        choose_mapped_model(store)
    assert "--reward-model-trajectory" in str(refusal.value)
