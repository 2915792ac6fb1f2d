"""Sentence encoders, and the cache that encodes each distinct text once ever."""
