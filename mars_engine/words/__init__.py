"""Floor 0: the vocabulary that every other floor speaks."""
