"""Scores a model on a data set: the same as `univs evaluate`."""

from __future__ import annotations

import sys

from univs.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
