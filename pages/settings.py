"""Settings."""

from pages.parts.frame import page

with page("Settings", purpose="") as desk:
    pass
