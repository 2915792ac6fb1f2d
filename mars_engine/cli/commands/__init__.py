"""The commands of `mars`, by subject."""
