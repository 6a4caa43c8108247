"""How the benchmarks read their options."""

from __future__ import annotations

import argparse
from typing import NoReturn

from univs.errors import UserError


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the options in one line, as all of univs does."""

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message} (see {self.prog} --help)")
