"""Pickles of lists, dicts, texts and numbers, read without running anything that they say."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from univs.errors import UserError

ADMITTED = {(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)}
"""What a pickle may ask for by name; all other plain values need no name."""
BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
)
"""What a broken pickle may raise."""


class PlainUnpickler(pickle.Unpickler):
    """Reads plain values; whatever else a pickle asks for is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        """The type of that name. Raises UnpicklingError unless it is a plain container."""
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only plain values are read")
        return ADMITTED[module, name]


def read_plain_pickle(path: Path, what: str) -> Any:
    """The content of a pickle of plain values, of Python 2 as well. Raises UserError for any other file."""
    try:
        with open(path, "rb") as file:
            return PlainUnpickler(file, encoding="utf-8", errors="replace").load()
    except OSError as error:
        raise UserError(f"{what}: cannot read {path}: {error}") from error
    except BROKEN as error:
        raise UserError(f"{what}: {path} is no pickle of plain values: {error}") from error
