"""Sentence encoders, the cache that encodes each text once, distances, semantic maps; loading any transformer."""
