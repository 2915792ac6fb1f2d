"""The quality gates, what they measure, and the gatekeeper that asks them."""
