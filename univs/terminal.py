"""What a user reads: streams that take any text and outlive their reader, and consoles that print text as it is."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table


Item = TypeVar("Item")


class PatientStream(io.TextIOWrapper):
    """A text stream whose reader may go away (`univs ... | head`): what is written from then on goes nowhere.

    The run itself goes on, since what it makes are files. Characters that the encoding lacks become \\uXXXX.
    """

    def write(self, text: str, /) -> int:
        """Raises OSError for anything but a closed pipe."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        """Raises OSError for anything but a closed pipe, and that once: what cannot be written is then dropped."""
        try:
            super().flush()
        except BrokenPipeError:
            self._let_go()
        except OSError:
            self._let_go()
            raise

    def _let_go(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()


def prepare_streams() -> None:
    """Make stdout and stderr of this process take any text and a closed pipe.

    Streams that stand in for those of the system (of a test, of a notebook) keep their place and take any text.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if type(stream) is io.TextIOWrapper and stream is getattr(sys, f"__{name}__"):
            stream.flush()
            patient = PatientStream(
                stream.buffer,
                stream.encoding,
                "backslashreplace",
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, patient)
        else:
            stream.reconfigure(errors="backslashreplace")


def plain_console(*, stderr: bool = False, **options: Any) -> Console:
    """A console of rich on which "[a]" and ":cat:" in names and paths are just that. options: of `rich.Console`."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, **options)


def plain_table(title: str, *columns: str, no_wrap: bool = False, **options: Any) -> Table:
    """A table of rich without rows, its first column on the left and figures on the right. options: of `Table`."""
    from rich.table import Table

    table = Table(title=title, **options)
    for column in columns:
        table.add_column(column, justify="right" if table.columns else "left", no_wrap=no_wrap)
    return table


def progress_bar(on: Console, *, transient: bool = True, **options: Any) -> Progress:
    """A progress bar, its description printed as it is: text, bar, count, time left. options: of `Progress`."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=on, transient=transient, **options)


def counted(items: Iterable[Item], description: str, total: int | None, on: Console) -> Iterator[Item]:
    """The items, with a progress bar as long as there are more of them."""
    with progress_bar(on) as bar:
        yield from bar.track(items, total=total, description=description)
