"""The one kind of error that is the user's to mend."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input, in one line: what is wrong and what would be right. The command line prints it and exits with 2."""
