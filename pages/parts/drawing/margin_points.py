"""Labels over points, readable in both themes."""

from typing import Any

from mars_engine.explore.colours import LABEL_GROUND
from pages.parts.drawing.theme import PRESENTED_SIZE, ink, theme
from pages.parts.frame.page import presenting


def label_size() -> int:
    return PRESENTED_SIZE - 2 if presenting() else 11


def label(x: float, y: float, text: str, **where: Any) -> dict[str, Any]:
    """A label over points, in the page's own text colour: plotly's is too pale to be read there."""
    return {
        "x": x,
        "y": y,
        "text": text,
        "showarrow": False,
        "font": {"size": label_size(), "color": ink()},
        "bgcolor": LABEL_GROUND[theme()],
        "borderpad": 3,
        **where,
    }
