"""Loaders, import, hold-out, export, source pairs with their treatment, the index of pairs."""
