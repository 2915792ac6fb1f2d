"""A workspace, its generators and backup, and the rounds that are run in it."""
