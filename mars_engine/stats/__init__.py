"""Metrics, intervals, the crossed bootstrap, geometry: numpy only."""
