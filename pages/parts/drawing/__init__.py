"""Charts, colours, numbers and tables, the same on every page."""
