from __future__ import annotations

import os
import subprocess
import sys

import pytest

from univs.waiting import SETTINGS, TURNS, sleep_while_waiting

PROGRAM = """
import contextlib
from univs.cli import main
with contextlib.suppress(SystemExit):
    main(["--version"])
import torch
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of GNU OpenMP")
def test_the_command_has_threads_sleep_before_torch_reads_how() -> None:
    own = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**own, "OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"GOMP_SPINCOUNT = '{TURNS}'" in run.stderr


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_environment_says_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv(name, "ACTIVE")
    sleep_while_waiting()
    assert {setting: os.environ.get(setting) for setting in SETTINGS} == {**dict.fromkeys(SETTINGS), name: "ACTIVE"}
