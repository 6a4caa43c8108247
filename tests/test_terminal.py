"""Streams of any encoding and with no reader, seen from outside the process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from univs.terminal import counted, plain_console, prepare_streams

LINE = (
    "import sys; from univs.terminal import prepare_streams, plain_console; from rich.table import Table\n"
    "prepare_streams(); table = Table(title='视频'); table.add_column('Größe'); table.add_row('[/x] :cat: \\udcff')\n"
    "print('视频'); plain_console().print(table); print('Größe \\udcff', file=sys.stderr)"
)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "ascii:strict"])
def test_any_text_in_any_encoding(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", LINE], capture_output=True, check=True, env=environment)
    name = encoding.partition(":")[0]
    out, err = done.stdout.decode(name), done.stderr.decode(name)
    video = "视频" if name == "utf-8" else "\\u89c6\\u9891"
    size = r"Gr\xf6\xdfe" if name == "ascii" else "Größe"
    assert out.startswith(f"{video}\n") and "[/x] :cat: \\udcff" in out and size in out
    assert err.rstrip() == f"{size} \\udcff"


def run_with_closed_pipe(code: str) -> subprocess.CompletedProcess[str]:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", f"from univs.terminal import *; prepare_streams()\n{code}"]
    try:
        return subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)


@pytest.mark.parametrize("code", ["print('a', flush=True)", "print('a' * 100_000)", "plain_console().print('a')"])
def test_a_run_goes_on_without_its_reader(tmp_path: Path, code: str) -> None:
    done = run_with_closed_pipe(f"{code}\n{code}\nopen({str(tmp_path / 'end')!r}, 'w')")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "end").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_figures_that_cannot_be_written_are_an_error() -> None:
    command = [sys.executable, "-m", "univs", "datasets"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "No space left" in done.stderr


def test_streams_of_others_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", theirs)
    monkeypatch.setattr(sys, "stderr", None)
    prepare_streams()
    assert sys.stdout is theirs and theirs.errors == "backslashreplace"


def test_names_are_no_markup() -> None:
    page = io.StringIO()
    console = plain_console(file=page, width=60, force_terminal=True)
    table = Table(title="[red]a[/]")
    table.add_column("[/b]")
    table.add_row("[/c] :cat:")
    console.print(table)
    assert list(counted(iter("ab"), "[/d]", 2, console)) == ["a", "b"]
    for text in ("[red]a[/]", "[/b]", "[/c] :cat:", "[/d]"):
        assert text in page.getvalue().replace("\x1b[3m", "").replace("\x1b[0m", "")
