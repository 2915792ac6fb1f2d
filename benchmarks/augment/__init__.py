"""Measurements of what writes proposals, and of the gates that judge them."""
