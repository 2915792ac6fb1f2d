"""Floor 4: the command line, the workspace and the demo."""
