"""Policies, best-of-n, preference optimisation, online methods, AlpacaEval."""
