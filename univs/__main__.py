"""`python -m univs` is the command `univs`."""

from __future__ import annotations

import sys

from univs.cli import main

if __name__ == "__main__":
    sys.exit(main())
