"""The exit codes of the command, as docs/cli.md has them."""

OK = 0
"""Found; every check passed."""
NEGATIVE = 1
"""The request is not known; a check failed."""
USAGE = 2
"""The command line, the environment or reqtrail.toml is wrong."""
UNREADABLE = 3
"""No source could be read."""
INTERRUPTED = 130
