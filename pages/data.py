"""Data."""

from pages.parts.frame import page

with page("Data", purpose="") as desk:
    pass
