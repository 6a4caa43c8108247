"""The one kind of error that is the user's to mend, and the one that only a smaller question mends."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input, in one line: what is wrong and what would be right. The command line prints it and exits with 2."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that the system or a GPU has no memory left; torch says so in errors of several kinds."""
    words = ("can't allocate memory", "out of memory", "not enough memory")
    return isinstance(error, MemoryError) or any(said in str(error) for said in words)
