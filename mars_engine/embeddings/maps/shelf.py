"""The folder of maps. Reading one imports neither UMAP nor scikit-learn, and keeps its embeddings on the disk.

`artifacts/maps/<kind>/map.json` says what the map is and names the folder beside it that has its files: points.npz
(ids, x, y, cluster), embeddings.npy (float16) and reducer.joblib. It is put there last and at once, so that a reader
sees the old map or the new one, whole.
"""

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from mars_engine.core.errors import WorkspaceError
from mars_engine.core.records import ID_LENGTH, MAP_KINDS, MapCluster, MapKind, MapPoints
from mars_engine.core.whole_file import completed_file, put_in_place, read_sha256
from mars_engine.embeddings.maps.protocols import MapReducer

MAP_FILE = "map.json"
POINTS_FILE = "points.npz"
EMBEDDINGS_FILE = "embeddings.npy"
REDUCER_FILE = "reducer.joblib"

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class MapShelf:
    """Keeps maps under `folder`. Threads may share it."""

    folder: Path
    _loaded: dict[MapKind, tuple[_Stamp, MapPoints]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def kinds(self) -> tuple[MapKind, ...]:
        """Which maps were made."""
        return tuple(kind for kind in MAP_KINDS if (self.folder / kind / MAP_FILE).exists())

    def load(self, kind: MapKind) -> MapPoints | None:
        """Return a map, None where none was made. Where it has not changed since, it is the very same object.

        Raises:
            WorkspaceError: its files are missing or damaged.
        """
        path = self.folder / kind / MAP_FILE
        with self._lock:
            try:
                status = path.stat()
            except FileNotFoundError:
                return None
            stamp = (status.st_mtime_ns, status.st_ino)
            known = self._loaded.get(kind)
            if known is not None and known[0] == stamp:
                return known[1]
            try:
                points = _read_points(kind, path)
            except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
                raise _damaged(kind, path.parent, error) from error
            self._loaded[kind] = (stamp, points)
            return points

    def reducer(self, kind: MapKind) -> MapReducer:
        """Return what places new pairs into a map.

        Raises:
            WorkspaceError: its file is missing or damaged.
        """
        import joblib

        folder = self.folder / kind
        try:
            description = _read_description(folder / MAP_FILE)
            path = folder / description["files"] / REDUCER_FILE
            _require_sha256(path, description["reducer_sha256"])  # to unpickle an altered file would run what it says
            return cast("MapReducer", joblib.load(path))
        except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
            raise _damaged(kind, folder, error) from error

    def save(self, points: MapPoints, reducer: MapReducer) -> None:
        """Keep a map in the place of an earlier one of its kind, whole or not at all."""
        import joblib

        folder = self.folder / points.kind
        unfinished = folder / f".unfinished.{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        np.savez(
            unfinished / POINTS_FILE,
            ids=points.ids.astype(f"S{ID_LENGTH}"),
            x=points.x.astype(np.float32),
            y=points.y.astype(np.float32),
            cluster=points.cluster.astype(np.int16),
        )
        np.save(unfinished / EMBEDDINGS_FILE, points.embeddings.astype(np.float16))
        joblib.dump(reducer, unfinished / REDUCER_FILE)
        name = "-".join([read_sha256(unfinished / file)[:8] for file in (POINTS_FILE, EMBEDDINGS_FILE, REDUCER_FILE)])
        description = {
            "kind": points.kind,
            "encoder": points.encoder,
            "fitted_on": points.fitted_on,
            "settings": dict(points.settings),
            "clusters": [asdict(cluster) for cluster in points.clusters],
            "files": name,
            "reducer_sha256": read_sha256(unfinished / REDUCER_FILE),
        }
        if not (folder / name).is_dir():
            put_in_place(unfinished, folder / name)
        shutil.rmtree(unfinished, ignore_errors=True)
        with completed_file(folder / MAP_FILE) as part:
            part.write_text(json.dumps(description, indent=2), encoding="utf-8")
        self._forget_others(folder, name)

    def _forget_others(self, folder: Path, name: str) -> None:
        """Remove the files of earlier maps and of saves that were killed; who reads them now keeps what is open."""
        for path in folder.iterdir():
            if path.is_dir() and path.name != name:
                shutil.rmtree(path, ignore_errors=True)


def _read_description(path: Path) -> Mapping[str, Any]:
    description = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(description, dict):
        raise TypeError(f"{path.name} is no JSON object")
    return description


def _read_points(kind: MapKind, path: Path) -> MapPoints:
    description = _read_description(path)
    files = path.parent / description["files"]
    # numpy leaves a file open that it opened and found to be no archive.
    with (files / POINTS_FILE).open("rb") as file, np.load(file) as columns:
        ids, x, y, cluster = (columns[name] for name in ("ids", "x", "y", "cluster"))
    embeddings = np.load(files / EMBEDDINGS_FILE, mmap_mode="r")
    lengths = {len(ids), len(x), len(y), len(cluster), len(embeddings)}
    if len(lengths) != 1:
        raise ValueError(f"the columns have different lengths: {sorted(lengths)}")
    clusters = tuple(
        MapCluster(each["number"], each["x"], each["y"], each["size"], tuple(each["words"]))
        for each in description["clusters"]
    )
    return MapPoints(
        kind=kind,
        ids=ids,
        x=x,
        y=y,
        cluster=cluster,
        clusters=clusters,
        embeddings=embeddings,
        encoder=description["encoder"],
        fitted_on=int(description["fitted_on"]),
        settings=description["settings"],
    )


def _require_sha256(path: Path, expected: str) -> None:
    if read_sha256(path) != expected:
        raise ValueError(f"{path.name} was altered")


def _damaged(kind: MapKind, folder: Path, error: Exception) -> WorkspaceError:
    return WorkspaceError(
        f"the files of the map of the {kind} in {folder} are missing or damaged: {error!r}",
        remedy=f"run 'mars map --of {kind} --again' to make it anew",
    )
