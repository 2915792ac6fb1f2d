"""Maps: UMAP with a seed, clusters and their words; the shelf's files, whole or refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mars_engine.core.config import MapConfig
from mars_engine.core.errors import NotReadyError, WorkspaceError
from mars_engine.core.records import MapCluster, MapPoints
from mars_engine.embeddings.maps import MapShelf, UmapMapper
from mars_engine.embeddings.maps.umap_mapper import FEWEST_PAIRS


def three_groups(count: int, *, seed: int = 0) -> np.ndarray:
    """Unit vectors around three directions, one after the other."""
    rng = np.random.default_rng(seed)
    directions = np.eye(3, 32) * 3
    vectors = directions[np.arange(count) % 3] + rng.normal(0, 0.3, (count, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


# -------------------------------------------------------------------------------------------------------------- UMAP


@pytest.mark.slow
def test_the_same_seed_gives_the_same_map_and_places_more_the_same(tmp_path):
    vectors, more = three_groups(60), three_groups(9, seed=1)
    (first, places), (second, places_again) = (UmapMapper(MapConfig()).fit(vectors) for _ in range(2))
    assert places.shape == (60, 2)
    assert places.dtype == np.float32
    assert np.isfinite(places).all()
    assert np.array_equal(places, places_again)
    placed = first.place(more)
    assert np.array_equal(placed, second.place(more))
    assert np.array_equal(placed, first.place(more))
    centres = np.array([places[group::3].mean(axis=0) for group in range(3)])
    nearest = ((placed[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert nearest.tolist() == [0, 1, 2] * 3
    other = UmapMapper(MapConfig(seed=5)).fit(vectors)[1]
    assert not np.array_equal(places, other)
    shelf = MapShelf(tmp_path)
    shelf.save(points(4), first)
    assert np.array_equal(shelf.reducer("difference").place(more), placed)


@pytest.mark.slow
def test_as_few_pairs_as_allowed_and_pairs_that_are_all_alike_have_a_map():
    mapper = UmapMapper(MapConfig(neighbours=30))
    assert np.isfinite(mapper.fit(three_groups(FEWEST_PAIRS))[1]).all()
    alike = np.repeat(three_groups(1), 40, axis=0)
    assert np.isfinite(mapper.fit(alike)[1]).all()
    with_nothing = np.vstack([three_groups(30), np.zeros((5, 32), dtype=np.float32)])
    assert np.isfinite(mapper.fit(with_nothing)[1]).all()


THREADS_AFTER_A_MAP = """
import numpy as np
from mars_engine.core.config import MapConfig
from mars_engine.embeddings.maps import UmapMapper
vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
reducer, _ = UmapMapper(MapConfig()).fit(vectors)
reducer.place(vectors)
import torch
print(torch.get_num_threads())
"""


@pytest.mark.slow
def test_a_map_leaves_torch_the_threads_that_it_was_given():
    given = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    command = [sys.executable, "-c", THREADS_AFTER_A_MAP]
    result = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert (result.stdout.strip(), result.returncode) == ("1", 0), result.stderr


def test_too_few_pairs_are_refused_with_the_number_needed():
    with pytest.raises(NotReadyError, match="14 pairs") as caught:
        UmapMapper(MapConfig()).fit(three_groups(14))
    assert "15" in caught.value.expected


def test_clusters_lie_where_the_points_are_and_come_out_the_same():
    rng = np.random.default_rng(0)
    middles = np.array([[0, 0], [20, 0], [0, 20]])
    places = (middles[np.arange(90) % 3] + rng.normal(0, 0.5, (90, 2))).astype(np.float32)
    mapper = UmapMapper(MapConfig(clusters=3))
    centres = mapper.centres(places)
    assert np.array_equal(centres, mapper.centres(places))
    distances = np.linalg.norm(centres[:, None] - middles[None], axis=2)
    assert sorted(distances.argmin(axis=1).tolist()) == [0, 1, 2]
    assert distances.min(axis=1).max() < 1


@pytest.mark.parametrize(("count", "clusters"), [(15, 1), (45, 2), (1_000, 12)])
def test_few_pairs_have_few_clusters(count, clusters):
    places = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    assert len(UmapMapper(MapConfig()).centres(places)) == clusters


def test_places_that_coincide_are_one_cluster():
    assert len(UmapMapper(MapConfig()).centres(np.zeros((100, 2), dtype=np.float32))) == 1


def test_words_tell_a_cluster_from_the_others():
    texts = ["the code prints numbers", "the code has a bug", "the soup needs salt", "the soup is warm 42"]
    words = UmapMapper(MapConfig()).distinctive_words(texts, np.array([0, 0, 1, 1]), 3)
    assert words[0][0] == "code"
    assert words[1][0] == "soup"
    assert words[2] == ()
    assert not {"the", "42"} & {word for each in words for word in each}


def test_what_is_common_everywhere_and_parts_of_contractions_name_no_cluster():
    texts = ["people don't like code", "people don’t fix code", "people don't like soup", "people don't cook soup"]
    words = UmapMapper(MapConfig()).distinctive_words(texts, np.array([0, 0, 1, 1]), 2)
    assert [each[0] for each in words] == ["code", "soup"]
    assert not {"people", "don"} & {word for each in words for word in each}


def test_words_of_any_conversation_and_a_second_form_of_a_word_name_no_cluster():
    talk = "yes I know what you need every day, does it say so"
    texts = [f"{talk}: a litre of milk"] * 3 + ["two litres of milk", "litres"] + ["python and a list"] * 5
    words = UmapMapper(MapConfig()).distinctive_words(texts, np.array([0] * 5 + [1] * 5), 2)
    assert [set(each) for each in words] == [{"litre", "milk"}, {"list", "python"}]


def test_a_word_that_half_of_all_clusters_have_comes_after_one_that_is_the_clusters_own():
    """What is a little more common than elsewhere, in many texts, says less than what nobody else has."""
    own = ["write wedding"] * 4 + ["write"] * 6 + ["anything"] * 10
    others = ["write"] * 31 + ["something"] * 189
    words = UmapMapper(MapConfig()).distinctive_words([*own, *others], np.array([0] * 20 + [1] * 220), 2)
    assert words[0].index("wedding") < words[0].index("write")


def test_texts_without_words_name_nothing():
    assert UmapMapper(MapConfig()).distinctive_words(["42 !", ""], np.array([0, 1]), 2) == [(), ()]


# ------------------------------------------------------------------------------------------------------------- shelf


def points(count: int, **changes) -> MapPoints:
    rng = np.random.default_rng(count)
    return replace(
        MapPoints(
            kind="difference",
            ids=np.array([f"{number:024x}" for number in range(count)], dtype="S24"),
            x=rng.normal(size=count).astype(np.float32),
            y=rng.normal(size=count).astype(np.float32),
            cluster=np.arange(count, dtype=np.int16) % 2,
            clusters=(MapCluster(0, 0.5, -1.0, 2, ("ä", "b")), MapCluster(1, 0.0, 0.0, 1, ())),
            embeddings=rng.normal(size=(count, 8)).astype(np.float16),
            encoder="encoder",
            fitted_on=3,
            settings={"seed": 0},
        ),
        **changes,
    )


def same(first: MapPoints, second: MapPoints) -> bool:
    arrays = ("ids", "x", "y", "cluster", "embeddings")
    rest = ("kind", "clusters", "encoder", "fitted_on", "settings")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in arrays) and all(
        getattr(first, name) == getattr(second, name) for name in rest
    )


def test_a_map_comes_back_as_it_was_saved(tmp_path):
    shelf = MapShelf(tmp_path)
    assert shelf.load("difference") is None
    assert shelf.kinds() == ()
    saved = points(5)
    shelf.save(saved, ["any reducer"])
    loaded = MapShelf(tmp_path).load("difference")
    assert same(loaded, saved)
    assert isinstance(loaded.embeddings, np.memmap)
    assert len(loaded) == 5
    assert shelf.reducer("difference") == ["any reducer"]
    assert shelf.kinds() == ("difference",)
    assert shelf.load("prompt") is None


def test_a_new_map_takes_the_old_ones_place_and_who_reads_the_old_keeps_it(tmp_path):
    shelf, reader = MapShelf(tmp_path), MapShelf(tmp_path)
    shelf.save(points(5), "first")
    old = reader.load("difference")
    assert reader.load("difference") is old
    (tmp_path / "difference" / ".unfinished.1").mkdir()
    shelf.save(points(6), "second")
    assert same(old, points(5))
    assert same(reader.load("difference"), points(6))
    assert reader.reducer("difference") == "second"
    folders = [path for path in (tmp_path / "difference").iterdir() if path.is_dir()]
    assert len(folders) == 1
    shelf.save(points(6), "second")
    assert same(reader.load("difference"), points(6))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((file, damage) for file in ("points.npz", "embeddings.npy") for damage in ("missing", "cut", "foreign")),
        *(("map.json", damage) for damage in ("cut", "foreign")),
    ],
)
def test_damaged_files_are_refused(tmp_path, file, damage):
    MapShelf(tmp_path).save(points(50), "reducer")
    (path,) = (tmp_path / "difference").rglob(file)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b'["something else"]')
    with pytest.raises(WorkspaceError, match="damaged") as caught:
        MapShelf(tmp_path).load("difference")
    assert "mars map --of difference --again" in caught.value.remedy


def test_columns_of_different_lengths_are_refused(tmp_path):
    MapShelf(tmp_path).save(points(50), "reducer")
    (path,) = tmp_path.rglob("embeddings.npy")
    np.save(path, points(49).embeddings)
    with pytest.raises(WorkspaceError, match="different lengths"):
        MapShelf(tmp_path).load("difference")


def test_an_altered_reducer_is_not_unpickled(tmp_path):
    shelf = MapShelf(tmp_path)
    shelf.save(points(5), "reducer")
    (path,) = tmp_path.rglob("reducer.joblib")
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(WorkspaceError, match="altered"):
        shelf.reducer("difference")
    assert not (tmp_path / "ran").exists()


def test_reading_a_map_imports_neither_umap_nor_scikit_learn(tmp_path):
    MapShelf(tmp_path).save(points(5), "reducer")
    code = (
        "import sys; from pathlib import Path; from mars_engine.embeddings.maps import MapShelf;"
        "assert len(MapShelf(Path(sys.argv[1])).load('difference')) == 5;"
        "found = {'umap', 'numba', 'sklearn', 'scipy', 'torch'} & set(sys.modules); assert not found, found"
    )
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_description_is_plain_json(tmp_path):
    MapShelf(tmp_path).save(points(5), "reducer")
    described = json.loads((tmp_path / "difference" / "map.json").read_text())
    assert described["clusters"][0] == {"number": 0, "x": 0.5, "y": -1.0, "size": 2, "words": ["ä", "b"]}
    assert (described["kind"], described["encoder"], described["fitted_on"]) == ("difference", "encoder", 3)
