"""Texts and JSON that people hand in: UTF-8, with or without the mark that Windows editors put before it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.mistaken_files import download_fault


def read_text(path: Path, expected: str) -> str:
    """The text of a file (.gz is unpacked), without a byte order mark.

    Raises UserError, saying what was `expected`, for a file that is missing, cannot be read, or is no UTF-8.
    """
    try:
        data = path.read_bytes()
        if data and (fault := download_fault(path, expected)):
            raise UserError(f"{path} {fault}")
        return decode_text(gzip.decompress(data) if path.suffix == ".gz" else data)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; expected {expected}") from None
    except UnicodeDecodeError as error:
        why = f"byte {error.start} is {error.object[error.start]:#04x}; save it as UTF-8"
        raise UserError(f"{path} is no UTF-8 text ({why}); expected {expected}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path} ({error}); expected {expected}") from error


def read_json(path: Path, expected: str) -> Any:
    """What a JSON file (or .json.gz) holds. Raises UserError as `read_text` does, and for what is no JSON."""
    text = read_text(path, expected)
    if not text and (fault := download_fault(path, expected)):
        raise UserError(f"{path} {fault}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON file ({error}); expected {expected}") from error


def read_entries(path: Path, expected: str) -> list[str]:
    """The lines of a list without blanks around them; empty ones are passed over. Raises UserError as `read_text`."""
    lines = (line.strip() for line in read_text(path, expected).splitlines())
    return [line for line in lines if line]


def decode_text(data: bytes) -> str:
    """UTF-8 with or without a byte order mark. Raises UnicodeDecodeError."""
    return data.decode("utf-8-sig")


@contextmanager
def expecting(path: Path, fields: str) -> Iterator[None]:
    """Turns what goes wrong with the entries of a file into a UserError that names it and the fields expected."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else repr(error)
        raise UserError(f"{path} does not hold what was expected ({why:.200}): {fields}") from error
