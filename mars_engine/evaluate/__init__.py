"""Held-out evaluation, RewardBench, results, status, reports."""
