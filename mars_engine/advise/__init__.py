"""What each possible next step is expected to gain, told from the training pairs alone."""
