"""Background runs: their processes, their records, the lock on training."""
