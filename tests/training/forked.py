"""A process of its own for what ends or stops processes, without the seconds that importing torch anew would take."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch


def start(work: Callable[[], None], said: Path) -> int:
    """The id of a process, leader of its own group, that does some work; what it says is in a file."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        torch.set_num_threads(1)  # a pool of threads does not outlive a fork
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(file, stream)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(stream), "w", buffering=1) for stream in (1, 2))
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(happened: Callable[[], object], seconds: float = 30) -> None:
    """Until something holds. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def end_of(child: int) -> int:
    """Its exit status; minus the signal, where one killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def group_is_empty(leader: int) -> bool:
    """Whether no process of the leader's group is left."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    return False
