"""Reward models compared by the policies that come of them: one plan, at equal KL and at equal steps."""
