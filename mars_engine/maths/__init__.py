"""Floor 1: pure maths on numpy arrays. No input, no output, no models."""
