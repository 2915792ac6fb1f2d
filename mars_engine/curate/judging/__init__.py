"""A second opinion on labels: who judges, what was said, how far it agrees with others, and a policy that acts on it."""
