"""Measurements behind docs/experiments.md; run by hand, not by the test suite."""
