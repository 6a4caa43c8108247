"""How the commands read their arguments: a parser of argparse, and kinds of arguments for it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NoReturn

from univs.errors import UserError
from univs.settings import LARGEST_SIDE


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message} (see {self.prog} --help)")


def a_path(text: str) -> Path:
    """The path that an argument names. An empty one would be the folder that one is in."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; expected a path, such as . for the folder you are in")
    return Path(text)


def a_short_side(text: str) -> int:
    """A number of pixels; 0 stands for a frame's own."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= LARGEST_SIDE):
        raise argparse.ArgumentTypeError(
            f"{text!r:.40} is no number of pixels up to {LARGEST_SIDE}, such as 480, or 0 for the frames' own"
        )
    return int(text)


def read_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Height and width, pixels, out of 240x427. Raises UserError for anything else."""
    found = re.fullmatch("([1-9][0-9]{0,8})x([1-9][0-9]{0,8})", text)
    if found is None:
        raise UserError(f"{option} {text:.40}: expected height x width, such as 240x427")
    return int(found[1]), int(found[2])
