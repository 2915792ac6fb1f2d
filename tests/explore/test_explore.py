"""Views: their links, what they select, and what is drawn of the selection."""

import math
from dataclasses import fields, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs, text_vector
from hypothesis import given, settings
from hypothesis import strategies as st

from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import AllocationConfig, GateConfig, MarsConfig, TriageConfig
from mars_engine.core.errors import MarsError, WorkerError, WorkspaceError
from mars_engine.core.records import MAP_KINDS, MapCluster, MapPoints, Pair, Turn
from mars_engine.core.review_records import ReviewEvent
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.pair_index import SPLIT_CODES, VERDICT_CODES, PairIndexCache
from mars_engine.evaluate.overview import margin_plane
from mars_engine.explore import excerpts, figures, table
from mars_engine.explore import explorer as explorer_module
from mars_engine.explore.actions import put_together, rows_to_export
from mars_engine.explore.dossier import open_dossier
from mars_engine.explore.excerpts import excerpt, last_question
from mars_engine.explore.explorer import Explorer, select
from mars_engine.explore.figures import draw_cloud, margin_histogram, most_telling, quadrants
from mars_engine.explore.table import ordered, table_page
from mars_engine.explore.view import (
    DECISIONS,
    LINK_KEYS,
    MOST_CORNERS,
    PROPOSAL_STATES,
    SORTS,
    VERDICTS,
    Box,
    Interval,
    Lasso,
    View,
    drawn_box,
    drawn_lasso,
    link_parameters,
    read_view,
)
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRAINING, HELDOUT = 60, 20

# ------------------------------------------------------------------------------------------------------------ in links

NUMBERS = st.floats(-1e4, 1e4).map(lambda number: float(f"{number:.5g}"))
INTERVALS = st.tuples(NUMBERS, NUMBERS).map(lambda ends: Interval(min(ends), max(ends)))
OPEN_INTERVALS = st.one_of(
    INTERVALS, NUMBERS.map(lambda low: Interval(low=low)), NUMBERS.map(lambda high: Interval(high=high))
)
BOXES = st.builds(Box, INTERVALS, INTERVALS)
LASSOS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=MOST_CORNERS).map(lambda c: Lasso(tuple(c)))
NAMES = st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=3).map(tuple)
VIEWS = st.builds(
    View,
    margin=st.none() | OPEN_INTERVALS,
    distance=st.none() | OPEN_INTERVALS,
    split=st.sampled_from(["", *SPLIT_CODES]),
    subsets=NAMES,
    datasets=NAMES,
    verdicts=st.lists(st.sampled_from(VERDICTS), unique=True).map(tuple),
    decisions=st.lists(st.sampled_from(DECISIONS), unique=True).map(tuple),
    proposals=st.lists(st.sampled_from(PROPOSAL_STATES), unique=True).map(tuple),
    words=st.text(max_size=40),
    meaning=st.text(max_size=40),
    nearest=st.none() | st.integers(1, 10_000),
    pair_set=st.text("0123456789abcdef", max_size=24),
    margin_brush=st.none() | OPEN_INTERVALS,
    map_brush=st.none() | BOXES | LASSOS,
    plane_brush=st.none() | BOXES | LASSOS,
    map=st.sampled_from(MAP_KINDS),
    map_zoom=st.none() | BOXES,
    plane_zoom=st.none() | BOXES,
    sort=st.sampled_from([None, *SORTS]),
    descending=st.booleans(),
    page=st.integers(1, 10_000),
)


def as_lists(parameters) -> dict[str, list[str]]:
    return {key: [value] if isinstance(value, str) else list(value) for key, value in parameters.items()}


@pytest.mark.slow
@given(VIEWS)
@settings(max_examples=200)
def test_a_link_holds_the_whole_view(view):
    read = read_view(as_lists(link_parameters(view)))
    assert read.problems == ()
    assert read.view == view


def test_every_field_of_a_view_has_its_own_place_in_a_link():
    assert len(set(LINK_KEYS)) == len(fields(View))
    assert link_parameters(View()) == {}
    assert "id" not in LINK_KEYS
    assert "present" not in LINK_KEYS


def test_a_link_with_two_drawn_lassos_is_short():
    rng = np.random.default_rng(0)
    turns = np.linspace(0, 2 * np.pi, 700)
    x, y = (-13.2 + 4.1 * np.cos(turns) + rng.normal(0, 0.05, 700), 0.001 * np.sin(turns) - 0.0001)
    lasso = drawn_lasso(x, y)
    assert 3 <= len(lasso.corners) <= MOST_CORNERS
    view = View(map_brush=lasso, plane_brush=lasso, margin_brush=Interval(-1.2345, 0), words="some words")
    assert len("http://127.0.0.1:8501/explore?" + urlencode(link_parameters(view), doseq=True)) < 2000


def test_a_drawn_brush_is_what_its_link_says():
    lasso = drawn_lasso([0.123456789, 1, 1.5, 0], [0, 0, 1.23456789, 1])
    view = View(map_brush=lasso, plane_brush=drawn_box([2.3456789, 1], [0.5, 0.25]))
    assert read_view(as_lists(link_parameters(view))).view == view
    assert drawn_lasso([0, 1], [1, 0]) is None
    assert drawn_lasso([0, math.nan, 1], [1, 0, 0]) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("margin", "much"),
        ("margin", "1"),
        ("margin", "2_1"),
        ("margin", "nan_1"),
        ("distance", "1e999_"),
        ("split", "test"),
        ("verdict", "clear_wrong"),
        ("label", "label"),
        ("words", "x" * 201),
        ("nearest", "0"),
        ("nearest", "9" * 40),
        ("nearest", "²"),
        ("in_map", "l_1_2_3"),
        ("in_map", "l_1_2_3_4"),
        ("in_map", "l_" + "_".join(["1"] * 2 * (MOST_CORNERS + 1))),
        ("in_plane", "1_2_3"),
        ("in_plane", "2_1_0_1"),
        ("map_zoom", "l_0_0_1_1_1_0"),
        ("map", "../../etc"),
        ("sort", "random()"),
        ("down", "yes"),
        ("page", "-1"),
    ],
)
def test_what_cannot_be_read_is_ignored_and_said(key, value):
    read = read_view({key: [value], "split": ["train"]} if key != "split" else {key: [value]})
    assert read.view == (View(split="train") if key != "split" else View())
    (problem,) = read.problems
    assert f"'{key}'" in problem


@given(st.dictionaries(st.sampled_from(LINK_KEYS), st.lists(st.text(max_size=30), min_size=1, max_size=3)))
def test_no_link_crashes(parameters):
    read = read_view(parameters)
    assert len(read.problems) <= len(parameters)


# ------------------------------------------------------------------------------------------------------------ selecting


class Maps:
    """Maps in memory."""

    def __init__(self) -> None:
        self.made: dict[str, MapPoints] = {}
        self.damaged: set[str] = set()

    def load(self, kind):
        if kind in self.damaged:
            raise WorkspaceError(f"the map of the {kind} is damaged", remedy="make it anew")
        return self.made.get(kind)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """Scored, triaged, planned and proposed for; three pairs decided, some proposals too. Nobody changes it."""
    made = make_bench(MarsConfig(triage=TriageConfig(policy="keep", seeds=2, folds=3)))
    for split, pairs, name in (
        ("train", make_pairs(TRAINING), "first"),
        ("heldout", make_pairs(HELDOUT, seed=1, first=1000), "second"),
    ):
        source = ListSource(pairs, name=name)
        import_pairs(source, made.store, split=split, clock=made.clock, progress=made.progress)
    model = train_warm_up(made)
    score_model(made, model)
    make_proposals(made, make_plan(made, model).plan)
    ids = [pair.id for pair in made.store.pairs.pairs("train")]
    proposals = made.store.proposals.proposals()
    made.store.reviews.append(
        [
            *[ReviewEvent("pair", ids[n], action, "ann", 1, NOON) for n, action in enumerate(("flip", "drop"))],
            *[ReviewEvent("pair", ids[2], a, who, 1, NOON) for who, a in (("ann", "drop"), ("bob", "flip"))],
            ReviewEvent("proposal", proposals[0].id, "accept", "ann", 2, NOON),
            ReviewEvent("proposal", proposals[-1].id, "reject", "ann", 2, NOON),
        ]
    )
    return made


@pytest.fixture
def maps(bench) -> Maps:
    index = PairIndexCache(bench.store).current()
    count = len(index)
    order = np.random.default_rng(3).permutation(count)[: count - 5]
    vectors = text_vector
    made = Maps()
    for number, kind in enumerate(("difference", "prompt", "chosen")):
        pairs = bench.store.pairs.by_id([index.ids[place].decode() for place in order])
        texts = [pair.chosen for pair in pairs.values()]
        rng = np.random.default_rng(number)
        made.made[kind] = MapPoints(
            kind=kind,
            ids=index.ids[order],
            x=rng.normal(size=len(order)).astype(np.float32),
            y=rng.normal(size=len(order)).astype(np.float32),
            cluster=np.zeros(len(order), dtype=np.int16),
            clusters=(MapCluster(0, 0.0, 0.0, len(order), ("word",)),),
            embeddings=np.array([vectors(text) for text in texts], dtype=np.float16),
            encoder="bag-of-words",
            fitted_on=len(order),
            settings={},
        )
    return made


@pytest.fixture
def explorer(bench, maps) -> Explorer:
    def embed(texts):
        return np.array([text_vector(text) for text in texts], dtype=np.float32)

    return Explorer(bench.store, PairIndexCache(bench.store), maps, embed)


def numbers(scene) -> list[int]:
    return np.flatnonzero(scene.selected).tolist()


def test_without_restriction_all_pairs_are_selected(explorer):
    scene = explorer.look(View())
    assert scene.count == TRAINING + HELDOUT
    assert not View(sort="distance", page=4, map="prompt").is_filtered
    assert scene.problems == ()


def test_each_filter_selects_what_the_records_say(explorer, bench):
    index = explorer.look(View()).index
    pairs = [pair for split in SPLIT_CODES for pair in bench.store.pairs.pairs(split)]
    margins, distances = index.margin.tolist(), index.distance.tolist()
    expected = {
        View(margin=Interval(0.5, 2)): [0.5 <= margin <= 2 for margin in margins],
        View(margin=Interval(high=1)): [margin <= 1 for margin in margins],
        View(distance=Interval(low=0.7)): [distance >= np.float32(0.7) for distance in distances],
        View(split="heldout"): [place >= TRAINING for place in range(len(pairs))],
        View(subsets=("s1", "unknown")): [pair.subset == "s1" for pair in pairs],
        View(datasets=("second",)): [place >= TRAINING for place in range(len(pairs))],
        View(verdicts=("untriaged",)): [place >= TRAINING for place in range(len(pairs))],
        View(verdicts=("clear",)): [VERDICT_CODES[code] == "clear" for code in index.verdict],
        View(decisions=("flip", "disputed")): [place in {0, 2} for place in range(len(pairs))],
        View(decisions=("undecided",)): [place not in {0, 1, 2} for place in range(len(pairs))],
        View(words="ABOUT topic 3"): ["about topic 3" in pair.prompt[0].content for pair in pairs],
    }
    for view, wanted in expected.items():
        assert explorer.look(view).selected.tolist() == wanted, view
        assert view.is_filtered


def test_proposal_states_are_told_apart(explorer, bench):
    everything = explorer.look(View())
    states = {state: explorer.look(View(proposals=(state,))) for state in PROPOSAL_STATES}
    assert np.array_equal(states["none"].selected, ~states["any"].selected)
    assert not states["none"].selected[:TRAINING].any()
    assert states["accepted"].count == states["rejected"].count == 1
    first = bench.store.proposals.proposals()[0].source_id
    assert states["accepted"].ids == [first]
    either = explorer.look(View(proposals=("none", "accepted")))
    assert either.count == states["none"].count + 1
    assert everything.count == TRAINING + HELDOUT


def test_filters_and_brushes_restrict_together(explorer):
    parts = [
        View(margin=Interval(low=0.3)),
        View(split="train"),
        View(margin_brush=Interval(0, 2)),
        View(map_brush=Box(Interval(-1, 1), Interval(-1, 1))),
        View(plane_brush=Lasso(((-5, 0), (5, 0), (5, 0.9), (-5, 0.9)))),
    ]
    together = View(
        margin=parts[0].margin,
        split="train",
        margin_brush=parts[2].margin_brush,
        map_brush=parts[3].map_brush,
        plane_brush=parts[4].plane_brush,
    )
    alone = [explorer.look(part).selected for part in parts]
    assert all(0 < mask.sum() < len(mask) for mask in alone)
    assert np.array_equal(explorer.look(together).selected, np.logical_and.reduce(alone))


def test_pairs_without_a_place_lie_in_no_brush_of_the_map(explorer):
    everywhere = Box(Interval(-1e6, 1e6), Interval(-1e6, 1e6))
    scene = explorer.look(View(map_brush=everywhere))
    assert scene.count == scene.places.placed == TRAINING + HELDOUT - 5


def test_a_map_is_in_the_order_of_the_index_and_made_once(explorer, maps):
    scene = explorer.look(View(map="prompt"))
    points = maps.made["prompt"]
    for place in range(0, len(points), 7):
        position = scene.index.positions([points.ids[place].decode()])[0]
        assert scene.places.x[position] == points.x[place]
    assert explorer.look(View(map="prompt", split="train")).places is scene.places
    maps.made["prompt"] = replace(points, x=points.x + 1)
    assert explorer.look(View(map="prompt")).places is not scene.places


def test_a_brush_on_a_map_that_is_not_there_is_left_out_and_said(explorer):
    scene = explorer.look(View(map="rejected", map_brush=Box(Interval(0, 1), Interval(0, 1))))
    assert scene.places is None
    assert scene.count == TRAINING + HELDOUT
    assert "no such map" in scene.problems[0]


def test_a_damaged_map_is_said_and_the_rest_shown(explorer, maps):
    maps.damaged = {"difference"}
    scene = explorer.look(View(split="train"))
    assert scene.count == TRAINING
    assert "damaged" in scene.problems[0]
    assert "make it anew" in scene.problems[0]


def test_search_by_meaning_finds_the_nearest_first(explorer, bench):
    wanted = bench.store.pairs.pairs("train")[7]
    scene = explorer.look(View(meaning=f" {wanted.chosen}", nearest=4, sort="nearest"))
    assert scene.count == 4
    assert scene.index.ids[ordered(scene)[0]].decode() == wanted.id
    assert ordered(explorer.look(replace(scene.view, descending=True)))[-1] == ordered(scene)[0]


@pytest.mark.parametrize("kinds", [("prompt", "chosen"), ()], ids=["by a map", "without a map"])
def test_the_nearest_come_first_with_their_similarity_unless_another_order_is_chosen(kinds, explorer, bench, maps):
    maps.made = {kind: maps.made[kind] for kind in kinds}
    wanted = bench.store.pairs.pairs("train")[7]
    scene = explorer.look(View(meaning=wanted.chosen, nearest=9))
    assert scene.sort == "nearest"
    assert scene.lookups.nearest.kind == ("prompt" if kinds else "chosen")
    rows = table_page(bench.store, scene).rows
    assert rows[0].pair_id == wanted.id
    assert rows[0].similarity == pytest.approx(1, abs=1e-3)
    similarities = [row.similarity for row in rows]
    assert similarities == sorted(similarities, reverse=True)
    by_margin = explorer.look(replace(scene.view, sort="margin"))
    assert by_margin.sort == "margin"
    assert sorted(row.similarity for row in table_page(bench.store, by_margin).rows) == sorted(similarities)
    assert explorer.look(replace(scene.view, descending=True)).sort == "margin"


def test_without_a_search_by_meaning_the_order_is_by_margin_and_no_similarity_known(explorer, bench, maps):
    scene = explorer.look(View())
    assert scene.sort == "margin"
    assert all(math.isnan(row.similarity) for row in table_page(bench.store, scene).rows)
    maps.damaged = set(MAP_KINDS)
    assert explorer.look(View(meaning="something")).sort == "margin"


@pytest.mark.parametrize(("pairs", "count"), [(12, 10), (240, 24), (501, 50), (1_000_000, 50)])
def test_a_search_by_meaning_finds_a_tenth_of_few_pairs_and_fifty_of_many(pairs, count):
    assert View().nearest_among(pairs) == count
    assert View(nearest=200).nearest_among(pairs) == 200


def test_a_link_opens_as_many_of_the_nearest_as_it_says(explorer):
    assert explorer.look(read_view({"meaning": ["topic 3"]}).view).count == 10
    assert explorer.look(read_view({"meaning": ["topic 3"], "nearest": ["33"]}).view).count == 33


def test_search_by_meaning_without_a_map_of_texts_searches_the_chosen_answers(explorer, bench, maps):
    maps.made = {"difference": maps.made["difference"]}
    wanted = bench.store.pairs.pairs("train")[7]
    scene = explorer.look(View(meaning=wanted.chosen, nearest=4, sort="nearest"))
    assert not scene.problems
    assert scene.count == 4
    assert scene.index.ids[ordered(scene)[0]].decode() == wanted.id


def test_search_by_meaning_of_too_many_pairs_without_a_map_of_texts_says_what_to_do(explorer, maps, monkeypatch):
    monkeypatch.setattr("mars_engine.explore.explorer.MOST_WITHOUT_A_MAP", 3)
    maps.made = {"difference": maps.made["difference"]}
    scene = explorer.look(View(meaning="something"))
    assert scene.count == TRAINING + HELDOUT
    assert "needs the map of" in scene.problems[0]


def test_an_encoder_that_does_not_answer_is_said(bench, maps):
    def embed(_texts):
        raise WorkerError("the worker has not answered")

    scene = Explorer(bench.store, PairIndexCache(bench.store), maps, embed).look(View(meaning="something"))
    assert "has not answered" in scene.problems[0]
    other = Explorer(bench.store, PairIndexCache(bench.store), maps, lambda _texts: np.ones((1, 5), dtype=np.float32))
    assert "another encoder" in other.look(View(meaning="something")).problems[0]


def test_a_search_is_done_once(explorer, bench, monkeypatch):
    asked = []
    real = type(bench.store.browse).matching
    monkeypatch.setattr(
        type(bench.store.browse), "matching", lambda self, words: asked.append(words) or real(self, words)
    )
    for split in ("", "train", "heldout"):
        explorer.look(View(words="topic 2", split=split))
    assert asked == ["topic 2"]
    for number in range(explorer_module.LOOKUPS_KEPT):
        explorer.look(View(words=f"other {number}"))
    explorer.look(View(words="topic 2"))
    assert asked.count("topic 2") == 2


# -------------------------------------------------------------------------------------------------------------- drawing


def test_the_histogram_counts_all_and_selected_and_parts_at_zero(explorer):
    scene = explorer.look(View(split="train"))
    histogram = margin_histogram(scene)
    assert histogram.all.sum() == TRAINING + HELDOUT
    assert histogram.selected.sum() == TRAINING
    assert np.any(np.abs(histogram.edges) < 1e-12)
    assert (histogram.selected <= histogram.all).all()


def test_few_pairs_are_points_and_many_a_density(explorer, monkeypatch):
    scene = explorer.look(View(margin=Interval(high=1.5)))
    cloud = draw_cloud(scene.places.x, scene.places.y, scene)
    assert not cloud.is_dense
    assert len(cloud.points) + len(cloud.context) == cloud.inside == TRAINING + HELDOUT - 5
    monkeypatch.setattr(figures, "MOST_POINTS", 20)
    dense = draw_cloud(scene.places.x, scene.places.y, scene)
    assert dense.density.shape == dense.density_selected.shape == (140, 240)
    assert dense.density.sum() == cloud.inside
    assert dense.density_selected.sum() == len(cloud.points)
    assert (dense.density_selected <= dense.density).all()


def test_a_zoom_draws_what_lies_within(explorer, monkeypatch):
    monkeypatch.setattr(figures, "MOST_POINTS", 30)
    scene = explorer.look(View())
    x, y = scene.places.x, scene.places.y
    zoom = Box(Interval(-0.5, 0.5), Interval(-0.5, 0.5))
    cloud = draw_cloud(x, y, scene, zoom=zoom)
    assert draw_cloud(x, y, scene).is_dense
    assert not cloud.is_dense
    assert cloud.window == zoom
    assert set(cloud.points.tolist()) == set(np.flatnonzero(zoom.holds(x, y)).tolist())
    assert draw_cloud(x, y, scene, zoom=Box(Interval(90, 91), Interval(0, 1))) is None


def test_a_density_puts_each_pair_into_its_cell():
    x, y = np.array([0.0, 0.0, 9.99, 10.0], dtype=np.float32), np.array([0, 0, 10, 10], dtype=np.float32)
    density = figures._density(x, y, Box(Interval(0, 10), Interval(0, 10)))
    assert density[0, 0] == density[-1, -1] == 2
    assert density.sum() == 4


@given(st.integers(0, 60), st.integers(1, 30))
def test_the_most_telling_are_the_lowest_and_a_sample_that_a_seed_repeats(count, most):
    margins = np.random.default_rng(count).normal(size=80).astype(np.float32)
    margins[::9] = np.nan
    positions = np.random.default_rng(1).permutation(80)[:count]
    telling = most_telling(margins, positions, most=most, seed=5)
    assert len(telling) == len(set(telling.tolist())) == min(count, most)
    assert set(telling.tolist()) <= set(positions.tolist())
    assert np.array_equal(telling, most_telling(margins, positions, most=most, seed=5))
    lowest = positions[np.argsort(margins[positions])][: int(most * figures.LOWEST_SHARE)]
    if count > most:
        assert set(lowest.tolist()) <= set(telling.tolist())


def test_quadrants_part_the_selection_as_the_budget_would(explorer):
    scene = explorer.look(View(margin_brush=Interval(high=2)))
    parted = quadrants(scene, allocation=AllocationConfig(), gate=GateConfig())
    assert sum(quarter.pairs for quarter in parted.quarters) == scene.count
    index, borders = scene.index, parted.borders
    hard_and_close = scene.selected & (index.margin < borders.hard_below) & (index.distance < borders.close_below)
    assert parted.quarters[0].name == "hard and close"
    assert parted.quarters[0].pairs == hard_and_close.sum()
    window = draw_cloud(index.margin, index.distance, scene).window
    brushed = [
        explorer.look(View(margin_brush=Interval(high=2), plane_brush=parted.box(quarter.name, window))).count
        for quarter in parted.quarters
    ]
    assert brushed == [quarter.pairs for quarter in parted.quarters]


def test_the_plane_is_parted_where_overview_parts_it_whatever_was_decided_of_labels(explorer):
    scene = explorer.look(View())
    plane = margin_plane(scene.index, allocation=AllocationConfig(), gate=GateConfig())
    parted = quadrants(scene, allocation=AllocationConfig(), gate=GateConfig())
    assert (parted.borders, plane.pairs) == (plane.borders, TRAINING - 1)
    assert parted.flipped == 1


def test_nothing_is_drawn_where_nothing_is_known():
    store = make_bench().store
    explorer = Explorer(store, PairIndexCache(store), Maps(), lambda _texts: None)
    scene = explorer.look(View())
    assert margin_histogram(scene) is None
    assert draw_cloud(scene.index.margin, scene.index.distance, scene) is None
    assert quadrants(scene, allocation=AllocationConfig(), gate=GateConfig()) is None
    assert table_page(store, scene).rows == ()


# ---------------------------------------------------------------------------------------------------------------- table


def test_the_table_pages_through_the_selection_in_order(explorer, bench, monkeypatch):
    monkeypatch.setattr(table, "ROWS_A_PAGE", 30)
    shown = [table_page(bench.store, explorer.look(View(page=page))) for page in (1, 2, 3, 99)]
    assert [len(page.rows) for page in shown] == [30, 30, 20, 20]
    assert [(page.page, page.pages, page.first) for page in shown] == [(1, 3, 1), (2, 3, 31), (3, 3, 61), (3, 3, 61)]
    rows = [row for page in shown[:3] for row in page.rows]
    assert [row.margin for row in rows] == sorted(row.margin for row in rows)
    assert len({row.pair_id for row in rows}) == TRAINING + HELDOUT
    pair = bench.store.pairs.by_id([rows[0].pair_id])[rows[0].pair_id]
    assert (rows[0].chosen, rows[0].rejected, rows[0].subset) == (pair.chosen, pair.rejected, pair.subset)


@pytest.mark.parametrize("sort", ["margin", "distance", "out_of_fold", "budget", "proposals", "imported"])
def test_rows_come_in_the_views_order_and_the_unknown_last(sort, explorer):
    scene = explorer.look(View(sort=sort))
    up, down = ordered(scene), ordered(explorer.look(View(sort=sort, descending=True)))
    assert sorted(up.tolist()) == sorted(down.tolist()) == list(range(TRAINING + HELDOUT))
    index = scene.index
    column = {"out_of_fold": index.out_of_fold_margin, "imported": np.arange(len(index))}.get(sort)
    column = getattr(index, sort) if column is None else column
    for positions, sign in ((up, 1), (down, -1)):
        values = sign * column[positions].astype(float)
        known = values[~np.isnan(values)]
        assert (np.diff(known) >= 0).all()
        assert np.isnan(values[len(known) :]).all()


def test_excerpts_are_one_line_and_short():
    assert excerpt("a\n\n b\tc") == "a b c"
    assert excerpt("word " * 10_000, 20) == "word word word word …"
    assert len(excerpt("x" * 100_000)) == excerpts.EXCERPT_CHARACTERS + 1
    turns = [Turn("user", "first"), Turn("user", "second"), Turn("assistant", "third")]
    assert last_question(Pair.of(turns, "a", "b")) == "second"
    assert last_question(Pair.of([Turn("system", "only")], "a", "b")) == "only"
    assert last_question(Pair.of([], "a", "b")) == ""


# -------------------------------------------------------------------------------------------------------------- actions


def test_a_selection_becomes_a_set_that_can_be_looked_at_and_forgotten(explorer, bench):
    scene = explorer.look(View(margin=Interval(high=1)))
    made = put_together(bench.store, scene.ids, name=" low ones ", annotator="ann", clock=bench.clock)
    assert (made.name, made.pairs) == ("low ones", scene.count)
    assert numbers(explorer.look(View(pair_set=made.id))) == numbers(scene)
    bench.store.pair_sets.remove(made.id)
    gone = explorer.look(View(pair_set=made.id))
    assert gone.count == TRAINING + HELDOUT
    assert "no such set" in gone.problems[0]


@pytest.mark.parametrize(("name", "ids"), [("", ["x"]), ("  ", ["x"]), ("n" * 81, ["x"]), ("name", [])])
def test_a_set_needs_a_name_and_pairs(name, ids, bench):
    with pytest.raises(MarsError):
        put_together(bench.store, ids, name=name, annotator="ann", clock=bench.clock)


def test_rows_to_export_are_the_pairs_with_their_figures(explorer, bench, monkeypatch):
    monkeypatch.setattr("mars_engine.explore.actions.PAIRS_AT_ONCE", 7)
    scene = explorer.look(View(split="train", sort="distance"))
    rows = list(rows_to_export(bench.store, scene.index, ordered(scene)))
    assert [row.source_id for row in rows] == [scene.index.ids[place].decode() for place in ordered(scene)]
    assert rows == sorted(rows, key=lambda row: row.semantic_distance)
    known = {pair.id: pair for pair in bench.store.pairs.pairs("train")}
    assert all(row.pair == known[row.source_id] for row in rows)
    assert {row.method for row in rows} == {"original"}


# -------------------------------------------------------------------------------------------------------------- dossier


def test_a_dossier_has_all_that_is_known_of_a_pair(explorer, bench):
    store = bench.store
    index = explorer.look(View()).index
    proposal = store.proposals.proposals()[0]
    model = store.models.all()[0]
    for epoch, margin in enumerate((-1.0, 2.0, -0.5), start=1):
        store.models.save_epoch(model.id, epoch, {proposal.source_id: margin})
    dossier = open_dossier(store, index, explorer, proposal.source_id)
    (trajectory,) = dossier.trajectories
    assert (trajectory.model_label, trajectory.margins) == (model.label, (-1.0, 2.0, -0.5))
    assert (trajectory.right_epochs, trajectory.forgotten) == (1, 1)
    assert trajectory.confidence == pytest.approx(np.mean([1 / (1 + np.exp(-m)) for m in (-1.0, 2.0, -0.5)]))
    place = index.positions([proposal.source_id])[0]
    assert dossier.pair.id == proposal.source_id
    assert dossier.figures.margin == pytest.approx(float(index.margin[place]))
    assert [rewards.model_label for rewards in dossier.rewards] == ["warm-up"]
    assert dossier.rewards[0].margin == pytest.approx(dossier.figures.margin, abs=1e-5)
    assert dossier.proposals[0][1].status == "accepted"
    assert any(entry.event.action == "accept" for entry in dossier.history)
    assert dossier.same_prompt == ()


def test_nearest_pairs_are_found_by_a_map_that_has_the_pair(explorer, bench, maps):
    index = explorer.look(View()).index
    pair_id = maps.made["chosen"].ids[4].decode()
    maps.made = {"chosen": maps.made["chosen"]}
    dossier = open_dossier(bench.store, index, explorer, pair_id)
    assert dossier.nearest_by == "chosen"
    cosines = [each.cosine for each in dossier.nearest]
    assert len(cosines) == 8
    assert cosines == sorted(cosines, reverse=True)
    assert pair_id not in {each.pair_id for each in dossier.nearest}
    embeddings = maps.made["chosen"].embeddings.astype(np.float32)
    best = np.argsort(-(embeddings @ embeddings[4]))[1]
    assert dossier.nearest[0].pair_id == maps.made["chosen"].ids[best].decode()
    maps.made = {}
    assert open_dossier(bench.store, index, explorer, pair_id).nearest_by is None


@pytest.mark.parametrize("pair_id", ["", "0" * 24, "ключ", "<script>", "x" * 5000])
def test_an_unknown_pair_is_said(pair_id, explorer, bench):
    with pytest.raises(MarsError, match="there is no pair"):
        open_dossier(bench.store, explorer.look(View()).index, explorer, pair_id)


def test_selecting_among_a_million_points_takes_milliseconds(explorer):
    import time

    index = explorer.look(View()).index
    rng = np.random.default_rng(0)
    count = 1_000_000
    zeros = np.zeros(count, dtype=np.int16)
    large = replace(
        index,
        ids=np.zeros(count, dtype="S24"),
        split=zeros,
        verdict=zeros,
        margin=rng.normal(size=count).astype(np.float32),
        distance=rng.random(count).astype(np.float32),
    )
    x, y = (rng.normal(size=count).astype(np.float32) for _ in range(2))
    places = explorer_module.Places("prompt", x, y, zeros, ())
    turns = np.linspace(0, 6.2, 300)
    view = View(
        margin=Interval(-1, 1),
        split="train",
        verdicts=("untriaged",),
        map_brush=drawn_lasso(np.cos(turns), np.sin(turns)),
    )
    started = time.process_time()
    chosen = select(large, view, places=places)
    assert time.process_time() - started < 2
    assert 0.2 * count < chosen.sum() < 0.4 * count
