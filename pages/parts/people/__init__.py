"""Parts of the People page."""
