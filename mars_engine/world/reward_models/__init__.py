"""Reward models: the probe, a Bradley–Terry head on frozen embeddings."""
