"""Semantic maps: made by UMAP in a job, kept on a shelf, read without either."""

from mars_engine.embeddings.maps.shelf import MapShelf
from mars_engine.embeddings.maps.umap_mapper import UmapMapper

__all__ = ["MapShelf", "UmapMapper"]
