"""Runs the built-in demo: the same as `univs demo`."""

from __future__ import annotations

import sys

from univs.cli import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
