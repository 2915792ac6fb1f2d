"""Making a map: the same twice, new pairs placed without moving the old, made anew only where it has to be."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from fakes import ListSource, make_bench, make_pairs

from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MapConfig
from mars_engine.core.errors import WorkspaceError
from mars_engine.core.records import MAP_KINDS, Pair, Turn
from mars_engine.data.import_pairs import import_pairs
from mars_engine.embeddings.maps import MapShelf
from mars_engine.embeddings.maps.semantic_map import MapReport, make_map


@dataclass(frozen=True)
class FirstTwo:
    """Places a vector by its first two values, moved by how many it was fitted on."""

    shift: float

    def place(self, vectors):
        return (vectors[:, :2] + np.float32(self.shift)).astype(np.float32)


@dataclass
class FlatMapper:
    """Stands in for UMAP; notes what it was asked."""

    config: MapConfig = field(default_factory=MapConfig)
    fits: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def settings(self):
        return self.config.model_dump()

    def fit(self, vectors):
        self.fits.append(len(vectors))
        reducer = FirstTwo(float(len(vectors)))
        return reducer, reducer.place(vectors)

    def centres(self, places):
        middle = places.mean(axis=0)
        return np.array([middle - 1, middle + 1], dtype=np.float32)

    def distinctive_words(self, texts, clusters, count):  # noqa: ARG002
        self.texts = list(texts)
        return [(f"word{number}",) for number in range(count)]


@dataclass
class Scene:
    bench: Workbench
    shelf: MapShelf
    mapper: FlatMapper

    def add(self, pairs: tuple[Pair, ...], split="train") -> None:
        bench = self.bench
        import_pairs(ListSource(pairs), bench.store, split=split, clock=bench.clock, progress=bench.progress)

    def make(self, kind="difference", **options) -> MapReport:
        options |= {"config": self.mapper.config, "progress": self.bench.progress}
        return make_map(self.bench.store, self.bench.encoder, self.mapper, self.shelf, kind, **options)


@pytest.fixture
def scene(tmp_path) -> Scene:
    scene = Scene(make_bench(), MapShelf(tmp_path / "maps"), FlatMapper())
    scene.add(make_pairs(30))
    scene.add(make_pairs(10, first=500), "heldout")
    return scene


@pytest.mark.parametrize("kind", MAP_KINDS)
def test_every_pair_gets_a_place_and_a_cluster(scene, kind):
    report = scene.make(kind)
    points = scene.shelf.load(kind)
    stored = [pair.id for split in ("train", "heldout") for pair in scene.bench.store.pairs.pairs(split)]
    assert [pair_id.decode() for pair_id in points.ids] == stored
    assert (report.pairs, report.placed_now, report.fitted_anew, report.fitted_on) == (40, 40, True, 40)
    assert points.embeddings.dtype == np.float16
    assert np.allclose(points.x, points.embeddings[:, 0].astype(float) + 40, atol=1e-2)
    sizes = Counter(points.cluster.tolist())
    assert [each.size for each in points.clusters] == [sizes[0], sizes[1]]
    assert points.clusters[1].words == ("word1",)
    assert points.encoder == scene.bench.encoder.fingerprint


def test_what_is_mapped_is_what_the_kind_says(scene):
    by_kind = {kind: (scene.make(kind), scene.shelf.load(kind))[1].embeddings for kind in MAP_KINDS}
    difference = by_kind["chosen"].astype(np.float64) - by_kind["rejected"]
    assert np.allclose(by_kind["difference"], difference, atol=2e-3)
    for kind in ("prompt", "chosen", "rejected"):
        assert np.allclose(np.linalg.norm(by_kind[kind].astype(np.float64), axis=1), 1, atol=2e-3)
    same_prompt = make_pairs(2, first=900, pairs_a_prompt=2)
    scene.add(same_prompt)
    scene.make("prompt")
    prompts = scene.shelf.load("prompt").embeddings
    assert np.array_equal(prompts[-1], prompts[-2])


def test_a_difference_is_named_by_the_words_that_one_answer_has(scene):
    scene.add((Pair.of([Turn("user", "q")], "both say hello warmly", "both say hello coldly"),))
    scene.make("difference")
    assert "warmly coldly" in scene.mapper.texts


def test_a_complete_map_is_left_alone(scene):
    scene.make()
    before = scene.shelf.load("difference")
    report = scene.make()
    assert (report.placed_now, report.fitted_anew) == (0, False)
    assert report.clusters == before.clusters
    assert scene.shelf.load("difference") is before
    assert scene.mapper.fits == [40]


def test_later_pairs_are_placed_and_none_is_moved(scene):
    scene.make()
    before = scene.shelf.load("difference")
    scene.add(make_pairs(7, first=700))
    report = scene.make()
    after = scene.shelf.load("difference")
    assert (report.pairs, report.placed_now, report.fitted_anew, report.fitted_on) == (47, 7, False, 40)
    assert scene.mapper.fits == [40]
    for name in ("ids", "x", "y", "cluster", "embeddings"):
        assert np.array_equal(getattr(after, name)[:40], getattr(before, name)), name
    assert np.allclose(after.x[40:], after.embeddings[40:, 0].astype(float) + 40, atol=1e-2)
    assert sum(each.size for each in after.clusters) == 47
    assert [each.words for each in after.clusters] == [each.words for each in before.clusters]


def test_a_map_of_too_few_is_fitted_anew_when_many_came(scene):
    scene.make()
    scene.add(make_pairs(60, first=700))
    assert scene.make().fitted_anew
    assert scene.mapper.fits == [40, 100]


def test_other_settings_make_another_map_and_again_makes_it_in_any_case(scene):
    scene.make()
    scene.mapper = FlatMapper(MapConfig(seed=1))
    assert scene.make().fitted_anew
    assert not scene.make().fitted_anew
    assert scene.make(again=True).fitted_anew


def test_at_most_so_many_are_fitted_on_and_the_others_placed(scene):
    scene.mapper = FlatMapper(MapConfig(fit_pairs=15))
    report = scene.make()
    first = scene.shelf.load("difference")
    assert (report.pairs, report.fitted_on, scene.mapper.fits) == (40, 15, [15])
    assert len(scene.mapper.texts) == 15
    assert np.allclose(first.x, first.embeddings[:, 0].astype(float) + 15, atol=1e-2)
    scene.make(again=True)
    assert np.array_equal(scene.shelf.load("difference").cluster, first.cluster)


def test_a_damaged_map_is_an_error_until_it_is_made_again(scene, tmp_path):
    scene.make()
    (tmp_path / "maps" / "difference" / "map.json").write_text("{")
    with pytest.raises(WorkspaceError, match="damaged") as caught:
        scene.make()
    assert "mars map --of difference --again" in caught.value.remedy
    assert scene.make(again=True).fitted_anew
    assert scene.shelf.load("difference") is not None
