"""Background runs: their command lines, their processes, their records, the lock on training."""
