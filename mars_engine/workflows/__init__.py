"""Floor 3: one file tells one step of the method, in reading order."""
