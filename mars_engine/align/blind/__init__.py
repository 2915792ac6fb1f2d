"""Blind comparison: people say which of two policies answers better, without knowing which is which."""
