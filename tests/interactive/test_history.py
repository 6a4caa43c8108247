"""States of a session, and undo and redo."""

from __future__ import annotations

import json
from dataclasses import replace

from univs.interactive.history import STEPS, History, State, Unfinished


def test_a_mask_waits_for_its_propagation_with_what_was_there_before() -> None:
    state = State().with_mask(4, 1)
    assert state.masks == {4: 1} and state.pending == {4: None}
    state = state.with_mask(4, 2)
    assert state.masks == {4: 2} and state.pending == {4: None}, "nothing was propagated in between"
    state = state.started(1, 4).finished(4)
    assert state.rounds == (1,) and not state.pending and state.unfinished is None
    state = state.with_mask(4, 3).with_mask(6, 4).with_mask(4, 5)
    assert state.pending == {4: 2, 6: None} and state.masks == {4: 5, 6: 4}
    assert state.started(2, 4).finished(4).pending == {6: None}


def test_a_round_that_did_not_end_counts_no_more_when_it_goes_out_again() -> None:
    state = State().with_mask(4, 1).with_mask(7, 2).started(1, 4)
    assert state.rounds == (1,) and state.unfinished == Unfinished(1, 4)
    assert state.started(2, 4).rounds == (2,)
    assert state.started(2, 7).rounds == (1, 2)


def test_states_are_plain_values() -> None:
    state = State({3: "cat", 300: ""}).with_mask(4, 1).started(1, 4).finished(4).with_mask(4, 2).started(2, 4)
    for one in (State(), state):
        assert State.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert list(State.from_json(state.to_json()).objects) == [3, 300]


def test_steps_go_back_and_forth() -> None:
    history = History()
    for number in range(1, 4):
        history.push(State(rounds=(number,)))
    assert (history.undoable, history.redoable, history.now.rounds) == (3, 0, (3,))
    history.move(-2)
    assert (history.undoable, history.redoable, history.now.rounds) == (1, 2, (1,))
    history.move(1)
    assert history.now.rounds == (2,)
    history.push(State(rounds=(9,)))
    assert (history.undoable, history.redoable) == (3, 0) and history.rounds() == {1, 2, 9}
    history.replace(State(rounds=(10,)))
    assert history.now.rounds == (10,) and history.undoable == 3


def test_old_steps_are_forgotten() -> None:
    history = History()
    for number in range(STEPS + 20):
        history.push(State(masks={0: number}))
    assert history.undoable == STEPS and history.masks() == set(range(19, STEPS + 20))


def test_masks_that_were_there_before_are_needed_too() -> None:
    history = History([State().with_mask(4, 1).finished(4).with_mask(4, 2)])
    assert history.masks() == {1, 2}


def test_what_a_removed_object_had_counts_no_more_when_its_id_comes_again() -> None:
    state = State({1: "cat", 2: ""}).with_mask(4, 3).started(7, 4).finished(4)
    assert state.in_mask(3) == state.in_round(7) == (1, 2)
    again = replace(state.without(1), objects={2: "", 1: "dog"}).with_mask(5, 4).started(8, 5)
    assert again.in_mask(3) == again.in_round(7) == (2,)
    assert again.in_mask(4) == again.in_round(8) == (2, 1)
    assert State.from_json(json.loads(json.dumps(again.to_json()))) == again
    older = {name: value for name, value in state.to_json().items() if name != "removed"}
    assert State.from_json(older) == state


def test_the_next_id() -> None:
    assert State().next_id == 1 and State({3: "", 1: ""}).next_id == 4
    assert State({1: "", 2: ""}).without(2).next_id == 3, "no id comes again as long as there are others"
    assert State({1: "", 2: "", 65535: ""}).next_id == 3 and State({65535: ""}).without(65535).next_id == 1
    assert State(dict.fromkeys(range(1, 65536), "")).next_id == 65536, "there is none"
