"""A second opinion on labels: who judges, what is said, how far others agree, and a policy that acts on it."""
