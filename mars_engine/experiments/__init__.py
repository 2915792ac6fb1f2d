"""Plans, methods, cells, and their report."""
