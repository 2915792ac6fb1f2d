"""Importing pairs from the app: demo pairs, an uploaded file, or a set on the hub, with a preview before."""

from mars_engine.assembly.desk import Desk


def draw_import(desk: Desk) -> None:
    """Draw the form."""
