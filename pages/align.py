"""Align: does the better reward model make a better policy? Pick, train, and compare blind."""

from mars_engine.service.desk import Desk
from pages.parts.align.comparing import draw_comparing
from pages.parts.frame.page import page


def draw(desk: Desk) -> None:
    draw_comparing(desk)


with page(
    "Align", purpose="Does the better reward model make a better policy? Pick, train, and compare blind."
) as desk:
    draw(desk)
