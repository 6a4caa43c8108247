"""The one kind of error that is the user's to mend."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input: one line that says what is wrong and what would be right; the command line prints it and exits with status 2."""
