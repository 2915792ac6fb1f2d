"""Metrics, agreement coefficients, intervals, the crossed bootstrap, geometry: numpy only."""
