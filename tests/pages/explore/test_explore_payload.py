"""What Explore sends of a map too large for a point each: a picture, however many pairs there are."""

from dataclasses import replace

import numpy as np
import pytest
from app_workspaces import make_workspace

from mars_engine.explore.explorer import Places, select
from mars_engine.explore.figures import draw_cloud
from mars_engine.explore.view import View, drawn_lasso
from mars_engine.service.desk import open_desk
from pages.parts.drawing import charts
from pages.parts.explore import figures as explore_figures

MOST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    desk = open_desk(make_workspace(tmp_path_factory.mktemp("payload") / "complete", "complete"))
    return desk.explorer.look(View())


def spread_out(scene, pairs: int):
    """The scene as it were with so many pairs on the map of the prompt."""
    rng = np.random.default_rng(pairs)
    zeros = np.zeros(pairs, dtype=np.int16)
    x, y, margin = rng.normal(size=(3, pairs)).astype(np.float32)
    distance = rng.random(pairs).astype(np.float32)
    index = replace(scene.index, ids=np.zeros(pairs, dtype="S24"), split=zeros, margin=margin, distance=distance)
    places = Places("prompt", x, y, zeros, ())
    turns = np.linspace(0, 6.2, 200)
    view = View(map="prompt", map_brush=drawn_lasso(np.cos(turns), np.sin(turns)))
    return replace(scene, view=view, index=index, places=places, selected=select(index, view, places=places))


@pytest.mark.parametrize("pairs", [20_001, 1_000_000])
def test_a_map_of_many_pairs_is_sent_in_less_than_a_megabyte(scene, pairs, monkeypatch):
    sent = {}
    monkeypatch.setattr(charts, "draw", lambda figure, *, key, **_: sent.update({key: figure}))
    large = spread_out(scene, pairs)
    assert 0.2 * pairs < large.count < 0.8 * pairs
    places, index = large.places, large.index
    explore_figures.show_map(large, draw_cloud(places.x, places.y, large))
    explore_figures.show_plane(large, draw_cloud(index.margin, index.distance, large), None)
    for name in ("explore map", "explore plane"):
        assert sum(len(trace.x) for trace in sent[name].data) == 1
        assert sent[name].layout.images[0].source.startswith("data:image/png;base64,")
        assert 5_000 < len(sent[name].to_json()) < MOST_BYTES


def test_up_to_twenty_thousand_pairs_have_a_point_each(scene, monkeypatch):
    sent = {}
    monkeypatch.setattr(charts, "draw", lambda figure, *, key, **_: sent.update({key: figure}))
    large = spread_out(scene, 20_000)
    explore_figures.show_map(large, draw_cloud(large.places.x, large.places.y, large))
    drawn = [trace for trace in sent["explore map"].data if trace.hovertemplate or trace.hoverinfo == "skip"]
    assert sum(len(trace.x) for trace in drawn) == 20_000
    assert len(sent["explore map"].to_json()) < MOST_BYTES


def test_a_point_in_the_picture_stands_where_its_axes_say(scene, monkeypatch):
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    sent = {}
    monkeypatch.setattr(charts, "draw", lambda figure, *, key, **_: sent.update({key: figure}))
    large = spread_out(scene, 30_000)
    lone = replace(large, selected=np.arange(30_000) == 7)
    explore_figures.show_map(lone, draw_cloud(large.places.x, large.places.y, lone))
    image = sent["explore map"].layout.images[0]
    pixels = np.asarray(Image.open(BytesIO(b64decode(image.source.split(",")[1]))).convert("RGBA")).astype(int)
    height, width = pixels.shape[:2]
    across = (large.places.x[7] - image.x) / image.sizex * width
    down = (image.y - large.places.y[7]) / image.sizey * height
    grey = np.abs(pixels[..., 0] - pixels[..., 1]) + np.abs(pixels[..., 1] - pixels[..., 2]) < 24
    rows, columns = np.nonzero(~grey & (pixels[..., 3] > 0))
    assert len(rows)
    assert abs(columns.mean() - across) < 4
    assert abs(rows.mean() - down) < 4
