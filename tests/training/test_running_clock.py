"""The clock of training time: what counts, and what does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from univs.training.running_clock import RunningClock


class Wall:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_what_lies_between_two_readings_counts() -> None:
    wall = Wall()
    clock = RunningClock(wall)
    read = []
    for seconds in (0, 2, 0.25, 5):
        wall.time += seconds
        read.append(clock())
    assert read == [0, 2, 2.25, 7.25]


def test_a_night_between_two_readings_does_not() -> None:
    wall = Wall()
    clock = RunningClock(wall)
    wall.time += 30000
    assert clock() == RunningClock.MOST
    wall.time += 1
    assert clock() == RunningClock.MOST + 1


def test_time_counts_from_the_beginning_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall()
    clock = RunningClock(wall)
    wall.time += 3
    with clock:
        wall.time += 2
        assert clock() == 2


def test_long_steps_count_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread reads the time while nobody asks: more than `MOST` passes between two questions."""
    monkeypatch.setattr(RunningClock, "EVERY", 0.02)
    monkeypatch.setattr(RunningClock, "MOST", 0.3)
    with RunningClock() as clock:
        begun = time.monotonic()
        time.sleep(1)
        assert clock() == pytest.approx(time.monotonic() - begun, abs=0.2)


SUSPENDED = """
import sys, time
from univs.training.running_clock import RunningClock
RunningClock.EVERY, RunningClock.MOST = 0.02, 0.3
with RunningClock() as clock:
    begun = time.monotonic()
    print("begun", flush=True)
    sys.stdin.readline()
    print(clock(), time.monotonic() - begun, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing suspends a process here")
def test_a_suspended_process_has_a_clock_that_stands_still() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUSPENDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        counted, passed = (float(word) for word in process.stdout.readline().split())
    assert passed > 1.9 and counted < passed - 1.4
