"""People."""

from pages.parts.frame import page

with page("People", purpose="") as desk:
    pass
