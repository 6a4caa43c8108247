"""Signals while a run goes on."""

from __future__ import annotations

import os
import signal

import pytest

from univs.training.interruption import Interruption

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_at_once_and_what_comes_later_does_not_disturb(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt):
            send(number)
        with interruption.held():
            send(number)
        assert interruption.asked
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_what_is_held_ends_first() -> None:
    done = []
    with Interruption() as interruption:
        with interruption.held():
            done.append("quiet")
        with pytest.raises(KeyboardInterrupt), interruption.held():
            with interruption.held():
                send(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        send(signal.SIGTERM)
    assert done == ["quiet", "inner", "outer"]


def test_what_ends_a_run_is_not_disturbed() -> None:
    with Interruption() as interruption:
        interruption.hold()
        send(signal.SIGINT)
        assert interruption.asked


def test_who_asks_three_times_is_obeyed() -> None:
    with Interruption() as interruption, interruption.held():
        send(signal.SIGINT)
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        interruption.asked = False  # the block itself ends quietly


def test_one_of_several_processes_notes_it() -> None:
    with Interruption(at_once=False) as interruption:
        with interruption.held():
            send(signal.SIGTERM)
        for _ in range(4):
            send(signal.SIGINT)
        assert interruption.asked


def test_a_forked_process_lets_signals_pass() -> None:
    with Interruption():
        child = os.fork()
        if not child:
            send(signal.SIGINT)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
