"""What colours the points of Explore: numbers, groups, and never more groups than there are colours."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, record_review

from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.explore.outlines import outline
from mars_engine.explore.shades import MOST_GROUPS, OTHERS, shade_of
from mars_engine.explore.view import COLOURS, View, link_parameters, read_view
from mars_engine.stats.geometry import inside_polygon
from mars_engine.workspace.rounds import run_rounds


@pytest.fixture(scope="module")
def bench():
    made = make_bench()
    for split, first in (("train", 0), ("heldout", 100)):
        source = ListSource(make_pairs(12, first=first, seed=first), name=split)
        import_pairs(source, made.store, split=split, clock=made.clock, progress=made.progress)
    run_rounds(made, 1, policy="accept-all")
    return made


def names_of(shade) -> list[str]:
    return [shade.names[group] for group in shade.groups]


def test_a_label_is_shown_as_it_was_decided_and_held_out_pairs_as_such(bench):
    index = PairIndexCache(bench.store).current()
    pair_id = index.ids[0].decode()
    record_review(bench.store, "pair", pair_id, "flip", annotator="ada", clock=bench.clock)
    index = PairIndexCache(bench.store).current()
    states = names_of(shade_of(index, "label"))
    assert states[index.positions([pair_id])[0]] == "flipped"
    assert states.count("held-out") == 12


def test_the_dataset_and_the_round_of_each_pair_are_groups(bench):
    index = PairIndexCache(bench.store).current()
    assert set(names_of(shade_of(index, "dataset"))) == {"train", "heldout"}
    found = bench.store.browse.newest_rounds()
    assert set(found.rounds.tolist()) == {1}
    assert set(found.source_ids.tolist()) == set(index.ids[index.proposals > 0].tolist())
    rounds = np.where(index.proposals > 0, 1, 0)
    assert names_of(shade_of(index, "round", rounds=rounds)) == [
        "round 1" if count else "nothing proposed" for count in index.proposals.tolist()
    ]


def test_of_many_groups_the_smaller_are_put_together(bench):
    index = PairIndexCache(bench.store).current()
    names = tuple(f"subset {number}" for number in range(MOST_GROUPS + 4))
    subset = np.resize(np.arange(len(names)), len(index)).astype(np.int32)
    shade = shade_of(replace(index, subset=subset, subset_names=names), "subset")
    assert len(shade.names) == MOST_GROUPS
    assert shade.names[-1] == OTHERS
    assert len(names_of(shade)) == len(index)


def test_an_outline_encloses_most_points_and_no_stray_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 400))
    x[0], y[0] = 50.0, 50.0
    corners = outline(x, y, share=0.9)
    inside = inside_polygon(x, y, corners)
    assert 0.8 < inside.mean() <= 0.91
    assert corners.max() < 10


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 2.0, 3.0, 4.0], [np.nan, 1.0, 2.0]])
def test_points_that_span_no_area_have_no_outline(x):
    assert outline(np.array(x), np.array(x)).shape == (0, 2)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_link_holds_what_colours_and_what_is_compared(colour):
    view = View(colour=colour, against="m" * 24)
    written = {key: [value] if isinstance(value, str) else value for key, value in link_parameters(view).items()}
    assert read_view(written).view == view
