"""Parts of the Align page."""
