"""Parts of Present: the story walked step by step, with the arrow keys too."""
