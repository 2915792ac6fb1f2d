"""The queue, cards, leases, decisions, label checks, agreement, live figures."""
