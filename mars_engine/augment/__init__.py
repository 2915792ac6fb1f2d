"""Allocation, the distance gate, drafting, proposals, composition, forecasts."""
