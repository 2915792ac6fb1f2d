"""What the tests of Explore need of a workspace: a map, and a text that must never be interpreted."""

from pathlib import Path

import numpy as np

from mars_engine.core.records import MapCluster, MapKind, MapPoints
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.workspace.workspace import find_workspace, map_shelf, open_workspace_store

HOSTILE = (
    "<script>window.hacked=1</script> ![i](http://evil.invalid/i.png) $$x$$ :smile: **b** [l](http://evil.invalid)"
)


def add_map(root: Path, kind: MapKind = "difference") -> None:
    """Give a workspace a map of random places."""
    workspace = find_workspace(root)
    with open_workspace_store(workspace) as store:
        ids = PairIndexCache(store).current().ids
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=len(ids)).astype(np.float32) for _ in range(2))
    points = MapPoints(
        kind=kind,
        ids=ids,
        x=x,
        y=y,
        cluster=np.zeros(len(ids), dtype=np.int16),
        clusters=(MapCluster(0, 0.0, 0.0, len(ids), ("<b>refund</b>", "order")),),
        embeddings=rng.normal(size=(len(ids), 8)).astype(np.float16),
        encoder="bag-of-words",
        fitted_on=len(ids),
        settings={},
    )
    map_shelf(workspace).save(points, {})
