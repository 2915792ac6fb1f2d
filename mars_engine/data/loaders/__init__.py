"""Preference pairs from files and hub sets, whatever common format they are written in."""

from mars_engine.data.loaders.formats import FORMAT_NAMES, FORMATS, Format
from mars_engine.data.loaders.opening import OpenedSource, open_source, source_columns
from mars_engine.data.loaders.options import ReadingOptions

__all__ = ["FORMATS", "FORMAT_NAMES", "Format", "OpenedSource", "ReadingOptions", "open_source", "source_columns"]
