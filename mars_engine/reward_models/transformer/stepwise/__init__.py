"""Fine-tuning for a given number of optimizer steps, so that experiments can give each method equally many."""
