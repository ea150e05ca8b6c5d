"""`python -m sdnb` is the same as the command `sdnb`."""

import sys

from sdnb.cli import main

if __name__ == "__main__":
    sys.exit(main())
