"""JSON files of any size: the items of their long arrays come one after another, and only a piece of the file is held.

What counts is an array at the top, or the arrays among the members of an object at the top; the text of an item comes
with it, so that it may be kept elsewhere (`spool.py`).
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from univs.errors import UserError
from univs.evaluation.metrics.score_files import find_json
from univs.mistaken_files import download_fault

PIECE = 1 << 19
"""Bytes that are read at once. Small, since memory that was used before costs less than new memory."""
LONGEST = 16
"""Characters, more than any token but a text has: an error or an end so close to what is read may lie at a cut."""
BLANKS = re.compile(r"[ \t\n\r]*")
BYTE_ORDER_MARK = "\ufeff"


class Item(NamedTuple):
    """An item of an array, and the JSON that it was read from."""

    value: Any
    text: str


def json_arrays(
    path: Path, holds: str, prepare: Callable[[bytes], bytes] | None = None, piece: int = PIECE
) -> Iterator[tuple[str | None, Iterator[Item]]]:
    """The arrays of a JSON file (or .json.gz) in its order: key (None for an array at the top) and items.

    The items of an array are to be taken before the next one is asked for; those that are not are passed over, and
    so is whatever is no array.

    Args:
        holds: what the file should hold, for messages.
        prepare: what to do to the text before it is read; it gets pieces that end behind a closing brace.
        piece: bytes to read at once.
    Raises UserError for a missing file and, where it is met, for what is no JSON.
    """
    path = find_json(path, holds)
    if fault := download_fault(path, holds):
        raise UserError(f"{path} {fault}")
    return _Reader(path, holds, _pieces(path, holds, prepare, piece)).arrays()


class _Reader:
    """Text that comes in pieces, and a place in it."""

    def __init__(self, path: Path, holds: str, pieces: Iterator[str]) -> None:
        self.path, self.holds, self.pieces = path, holds, pieces
        self.text, self.at = "", 0
        self.decoder = json.JSONDecoder()
        self.lines, self.column, self.passed = 1, 0, 0
        """Of the first character of the text: its line, from 1, and how many its line and the file have before it."""

    def arrays(self) -> Iterator[tuple[str | None, Iterator[Item]]]:
        """What `json_arrays` gives."""
        first = self.peek()
        if first == "[":
            yield from self._array(None)
        elif first == "{":
            yield from self._members()
        else:
            self.item()
        if self.peek():
            raise self.no_json("Extra data", self.at)

    def _members(self) -> Iterator[tuple[str | None, Iterator[Item]]]:
        self.take("{", "")
        if self.peek() == "}":
            self.take("}", "")
            return
        while True:
            if self.peek() != '"':
                raise self.no_json("Expecting property name enclosed in double quotes", self.at)
            key = self.item().value
            self.take(":", "Expecting ':' delimiter")
            if self.peek() == "[":
                yield from self._array(key)
            else:
                self.item()
            if self.take(",}", "Expecting ',' delimiter") == "}":
                return

    def _array(self, key: str | None) -> Iterator[tuple[str | None, Iterator[Item]]]:
        items = self._items()
        yield key, items
        deque(items, maxlen=0)

    def _items(self) -> Iterator[Item]:
        self.take("[", "")
        if self.peek() == "]":
            self.take("]", "")
            return
        while True:
            yield self.item()
            if self.take(",]", "Expecting ',' delimiter") == "]":
                return

    def item(self) -> Item:
        """The whole value that comes next, however many pieces it takes."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos + LONGEST > len(self.text)
                if cut and self.more():
                    continue
                raise self.no_json(error.msg, error.pos) from error
            except RecursionError as error:
                raise self.no_json("Too deeply nested", self.at) from error
            except ValueError as error:  # Python reads no whole numbers of thousands of digits
                raise self.no_json("a number has too many digits", self.at) from error
            if end + LONGEST > len(self.text) and self.more():
                continue  # a number may go on
            start, self.at = self.at, end
            return Item(value, self.text[start:end])

    def peek(self) -> str:
        """The next character that is no blank; nothing at the end."""
        while True:
            blanks = BLANKS.match(self.text, self.at)
            assert blanks is not None
            self.at = blanks.end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, allowed: str, message: str) -> str:
        """The next character, which is passed; UserError with the message for one that is not allowed."""
        found = self.peek()
        if not found or found not in allowed:
            raise self.no_json(message, self.at)
        self.at += 1
        return found

    def more(self) -> bool:
        """Adds at least as much text as is left, so that a long item is begun again only a few times; False at the end.

        What lies behind is dropped.
        """
        piece = next(self.pieces, "")
        if not piece:
            return False
        parts, size, left = [piece], len(piece), len(self.text) - self.at
        while size < left and (piece := next(self.pieces, "")):
            parts.append(piece)
            size += len(piece)
        lines = self.text.count("\n", 0, self.at)
        self.column = self.at - self.text.rfind("\n", 0, self.at) - 1 if lines else self.column + self.at
        self.lines, self.passed = self.lines + lines, self.passed + self.at
        self.text, self.at = "".join([self.text[self.at :], *parts]), 0
        return True

    def no_json(self, message: str, place: int) -> UserError:
        """The error for what is wrong at a place of the text, in the words of the json module."""
        lines = self.text.count("\n", 0, place)
        column = place - self.text.rfind("\n", 0, place) if lines else self.column + place + 1
        where = f"line {self.lines + lines} column {column} (char {self.passed + place})"
        return _no_json(self.path, f"{message}: {where}", self.holds)


def _pieces(path: Path, holds: str, prepare: Callable[[bytes], bytes] | None, size: int) -> Iterator[str]:
    """The text in pieces that end behind a closing brace, where there is one."""
    mark = BYTE_ORDER_MARK
    try:
        for piece in _behind_braces(_blocks(path, size)):
            yield (prepare(piece) if prepare else piece).decode("utf-8", "surrogatepass").removeprefix(mark)
            mark = ""
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _no_json(path, error, holds) from error


def _behind_braces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    for block in blocks:
        end = block.rfind(b"}") + 1
        if end:
            yield b"".join([*parts, block[:end]])
            parts = []
        parts.append(block[end:])
    yield b"".join(parts)


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while block := file.read(size):
            yield block


def _no_json(path: Path, why: object, holds: str) -> UserError:
    return UserError(f"{path} is no JSON file ({why}); expected {holds}")
