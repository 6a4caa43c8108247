"""How threads of this process wait for each other."""

from __future__ import annotations

import os

SETTINGS = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
TURNS = "10000"
"""Of a waiting thread's loop before it sleeps: some ten microseconds, longer than it waits on an idle machine."""


def sleep_while_waiting() -> None:
    """Let threads that wait for others sleep after a few turns, unless the environment says how they shall wait.

    By default GNU OpenMP, which PyTorch computes with on Linux, has them turn for milliseconds and keep the cores that
    the others need: beside two busy programs on two cores that doubles the time of a frame of 240p (0.6 s for 0.26),
    beside four it is fourfold (1.7 for 0.44); on an idle machine nothing changes. It is read when PyTorch is loaded, so
    it is for programs to call before that; the library never does so by itself.
    """
    if not any(name in os.environ for name in SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = TURNS
