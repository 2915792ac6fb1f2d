"""The picture of a cloud too large for a point each: its density, and the most telling pairs on top.

A picture, because the browser draws one in no time: plain shapes take it 0.3 ms a point at every change.
"""

from base64 import b64encode
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from mars_engine.core.records import Float32Array, IntArray
from mars_engine.explore.colours import MARGIN_SCALE
from mars_engine.explore.figures import Cloud
from mars_engine.explore.shades import Shade
from mars_engine.stats.metrics import TIE
from pages.parts.explore.groups import group_colour

ALL_DENSITY, SELECTED_DENSITY = (128, 128, 128), (0, 158, 115)
"""Red, green and blue."""

PIXELS_A_CELL = 3
"""So large that a browser always shrinks it, which smooths the points' rims."""
POINT_RADIUS = 4
UNKNOWN_MARGIN = (128, 128, 128)


def density_image(
    cloud: Cloud, x: Float32Array, y: Float32Array, shade: Shade, *, reach: float, ground: str
) -> dict[str, Any]:
    """Return a dense cloud as a layout image of plotly, below its axes' traces.

    Args:
        cloud: one that has densities.
        x: abscissa of each pair of the index.
        y: ordinate of each.
        shade: what colours each.
        reach: margin at the ends of the scale of colours.
        ground: colour of the page, for a rim that parts a point from the density and from other points.
    """
    assert cloud.density is not None and cloud.density_selected is not None  # noqa: S101, PT018 (only dense clouds come)
    picture = _shaded(cloud.density, cloud.density_selected)
    picture = picture.resize((picture.width * PIXELS_A_CELL, picture.height * PIXELS_A_CELL), Image.Resampling.NEAREST)
    _draw_points(picture, cloud, x, y, shade, reach, ground)
    content = BytesIO()
    # With 256 colours it is a third as large, and written sooner.
    picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(content, "png")
    window = cloud.window
    return {
        "source": f"data:image/png;base64,{b64encode(content.getvalue()).decode()}",
        "xref": "x",
        "yref": "y",
        "x": window.x.low,
        "y": window.y.high,
        "sizex": window.x.high - window.x.low,
        "sizey": window.y.high - window.y.low,
        "sizing": "stretch",
        "layer": "below",
    }


def _shaded(everything: IntArray, selected: IntArray) -> Image.Image:
    """Both densities, a pixel a cell."""
    highest = max(int(everything.max()), 1)
    pale, strong = (_shades(counts, highest) for counts in (everything, selected))
    opacity = np.where(selected > 0, 80 + 0.65 * strong, np.where(everything > 0, 36 + 0.45 * pale, 0))
    pixels = np.empty((*everything.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where((selected > 0)[..., None], SELECTED_DENSITY, ALL_DENSITY)
    pixels[..., 3] = opacity.astype(np.uint8)
    return Image.fromarray(pixels[::-1])


def _shades(counts: IntArray, highest: int) -> NDArray[np.float64]:
    """Counts on a logarithmic scale, 0 to 255."""
    shades: NDArray[np.float64] = 255 * np.log1p(counts) / np.log1p(highest)
    return shades


def _draw_points(
    picture: Image.Image,
    cloud: Cloud,
    x: Float32Array,
    y: Float32Array,
    shade: Shade,
    reach: float,
    ground: str,
) -> None:
    """Draw a cross for a point that is ranked wrong, a diamond for a tie, a ring for no margin yet, else a dot."""
    margins = shade.values
    pen = ImageDraw.Draw(picture)
    window = cloud.window
    across = (x[cloud.points] - window.x.low) / (window.x.high - window.x.low) * picture.width
    down = (window.y.high - y[cloud.points]) / (window.y.high - window.y.low) * picture.height
    colours = _colours(shade, cloud, reach)
    arm = POINT_RADIUS
    for left, top, margin, colour in zip(
        across.tolist(), down.tolist(), margins[cloud.points].tolist(), colours, strict=True
    ):
        around = (left - arm, top - arm, left + arm, top + arm)
        if margin < -TIE:
            for ink, width in ((ground, 5), (colour, 3)):
                pen.line(around, fill=ink, width=width)
                pen.line((left - arm, top + arm, left + arm, top - arm), fill=ink, width=width)
        elif abs(margin) <= TIE:
            far = arm + 1
            pen.polygon(((left, top - far), (left + far, top), (left, top + far), (left - far, top)), fill=colour)
        elif margin > 0:
            pen.ellipse((left - arm - 1, top - arm - 1, left + arm + 1, top + arm + 1), fill=ground)
            pen.ellipse(around, fill=colour)
        else:
            pen.ellipse(around, outline=UNKNOWN_MARGIN, width=2)


def _colours(shade: Shade, cloud: Cloud, reach: float) -> list[tuple[int, int, int]]:
    if shade.groups is None:
        return _margin_colours(shade.values[cloud.points], reach)
    palette = [ImageColor.getrgb(group_colour(group, shade.names))[:3] for group in range(len(shade.names))]
    return [(red, green, blue) for red, green, blue in (palette[group] for group in shade.groups[cloud.points])]


def _margin_colours(margins: Float32Array, reach: float) -> list[tuple[int, int, int]]:
    """The colours of points on the picture of a cloud: the scale's, as plotly mixes them."""
    stops = [stop for stop, _ in MARGIN_SCALE]
    channels = np.array([ImageColor.getrgb(colour)[:3] for _, colour in MARGIN_SCALE], dtype=np.float64)
    places = np.clip((np.nan_to_num(margins) + reach) / (2 * reach), 0, 1)
    mixed = np.stack([np.interp(places, stops, channel) for channel in channels.T], axis=1)
    return [(int(red), int(green), int(blue)) for red, green, blue in np.rint(mixed)]
