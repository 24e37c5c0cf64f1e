"""`python -m reqtrail` is the command `reqtrail`."""

import sys

from reqtrail.cli import main

if __name__ == "__main__":
    sys.exit(main())
