"""The command line: options, printing, the demo, and the commands."""
