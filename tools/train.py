"""Trains a model: the same as `univs train`."""

from __future__ import annotations

import sys

from univs.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
