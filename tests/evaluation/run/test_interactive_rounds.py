"""The rounds of the interactive protocol: who is asked where, what is measured, and when time is up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from univs.errors import UserError
from univs.evaluation.metrics.davis import measure_objects
from univs.evaluation.run import interactive_rounds
from univs.evaluation.run.first_scribbles import read_scribbles
from univs.evaluation.run.interactive_rounds import (
    FirstScribbles,
    Rules,
    as_json,
    best_frame,
    correct,
    from_json,
    objects_of,
    play,
)
from univs.formats import FrameLabels, Recording
from univs.interactive.interactions import Click, Stroke, about_each
from univs.interactive.segmenters import PaintingSegmenter, labels_of

COUNT, HEIGHT, WIDTH = 5, 60, 80


def truth(index: int) -> np.ndarray:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[10:30, 5 + 4 * index : 30 + 4 * index] = 1
    if index != 4:
        labels[35 : 45 + 2 * index, 40:70] = 3
    labels[0, :3] = 255
    return labels


def labels_at(index: int) -> FrameLabels:
    return FrameLabels(truth(index))


def film(annotated: tuple[int, ...] = tuple(range(COUNT))) -> Recording:
    frames = tuple(Path(f"{k:05d}.jpg") for k in range(COUNT))
    return Recording("film", frames, annotated, labels_at)


class Follower:
    """Takes over the true masks of a frame that it is told of, and of no other."""

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self.asked: list[tuple[int, bool]] = []
        self.said: list[Any] = []
        self.known: set[int] = set()
        self.step = step

    def interact(self, index: int, said: Any, *, propagate: bool = True) -> None:
        self.asked.append((index, propagate))
        self.said.append(said)
        self.known.add(index)
        self.step()

    def labels(self, index: int) -> np.ndarray:
        labels = truth(index)
        return np.where((labels == 255) | (index not in self.known), 0, labels)


def test_the_robot_goes_to_the_worst_frame_that_it_has_not_been_on() -> None:
    method = Follower()
    played = play(film(), (1, 3), method, Rules(interactions=4))
    assert method.asked[0] == (3, True) and played.frames[0] == 3  # both are there, object 3 at its largest
    # all others are as wrong but for frame 4, where object 3 is rightly not seen: the first of them comes first
    assert played.frames == (3, 0, 1, 2)
    assert played.figures.shape == (2, 4, COUNT, 2)
    for number in range(4):
        known = set(played.frames[: number + 1])
        for t in range(COUNT):
            true = np.where(truth(t) == 255, 0, truth(t))
            shown = true if t in known else np.zeros_like(true)
            assert np.allclose(played.figures[:, number, t], measure_objects(shown, true, (1, 3)))
    assert played.figures[:, 3].mean() > played.figures[:, 0].mean()


def test_what_is_said_is_about_the_answer_of_that_frame() -> None:
    method = Follower()
    play(film(), (1, 3), method, Rules(interactions=2))
    assert {number for number, _ in method.said[0]} == {1, 3}
    assert {number for number, _ in method.said[1]} == {1, 3}, "of frame 0 nothing is known, as much as frame 3 has"
    for number, stroke in method.said[1]:  # on frame 0, where nothing is right yet
        x, y = stroke.xy[len(stroke.xy) // 2]
        assert truth(0)[round(y), round(x)] == number


def test_rounds_may_stay_on_a_frame() -> None:
    method = Follower()
    play(film(), (1, 3), method, Rules(interactions=8, group=3))
    frames = [index for index, _ in method.asked]
    assert frames[0] == frames[1] == frames[2] != frames[3] == frames[4] == frames[5] != frames[6] == frames[7]
    assert [leaves for _, leaves in method.asked] == [False, False, True] * 2 + [False, True]
    assert method.said[1] == []  # nothing is wrong there any more


def test_an_answer_after_the_time_does_not_count() -> None:
    now = [0.0]
    method = Follower(lambda: now.__setitem__(0, now[0] + 70.0))
    rules = Rules(interactions=4, seconds=20.0)  # 160 s for two objects
    played = play(film(), (1, 3), method, rules, clock=lambda: now[0])
    assert played.seconds == (70.0, 70.0) and len(method.asked) == 3
    assert played.figures.shape[1] == 2
    late = play(film(), (1, 3), Follower(lambda: now.__setitem__(0, now[0] + 200)), rules, clock=lambda: now[0])
    assert late.frames == () and late.figures.shape == (2, 0, COUNT, 2)


def test_masks_that_are_made_when_they_are_asked_for_count_in_the_time() -> None:
    now = [0.0]

    class Lazy(Follower):
        def labels(self, index: int) -> np.ndarray:
            now[0] += 2.0
            return super().labels(index)

    method = Lazy(lambda: now.__setitem__(0, now[0] + 10.0))
    played = play(film(), (1, 3), method, Rules(interactions=2, seconds=20.0), clock=lambda: now[0])
    assert played.seconds == (20.0, 20.0), "ten for the round, two for each of five frames"


def test_the_worst_frame_is_that_of_both_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {0: (0.5, 0.5), 1: (0.2, 0.9), 2: (0.4, 0.3), 3: (0.8, 0.8), 4: (0.9, 0.1)}  # J, F
    monkeypatch.setattr(
        interactive_rounds, "measure_objects", lambda labels, *_: np.array(figures[int(labels[0, 0])])[:, None]
    )

    class Numbers(Follower):
        def labels(self, index: int) -> np.ndarray:
            return np.full((HEIGHT, WIDTH), index, np.uint8)

    assert play(film(), (1,), Numbers(), Rules(interactions=2)).frames == (0, 2)


def test_a_person_may_begin_where_nothing_is_labelled() -> None:
    """The robot cannot stay there, however many rounds go to a frame."""
    said = [(1, Stroke(((10, 15), (20, 15))))]
    played = play(film((0, 4)), (1, 3), Follower(), Rules(interactions=3, group=2), FirstScribbles(2, said))
    assert played.frames == (2, 0, 4)


def test_a_person_may_begin() -> None:
    said = [(1, Stroke(((10, 15), (20, 15))))]
    method = Follower()
    played = play(film(), (1, 3), method, Rules(interactions=2), FirstScribbles(1, said))
    assert method.said[0] == said and played.frames == (1, 0)


def test_clicks_are_told_as_what_lies_there() -> None:
    true = np.where(truth(0) == 255, 0, truth(0))
    prediction = np.zeros_like(true)
    said = correct(true, prediction, (1, 3), "clicks")
    assert [number for number, _ in said] == [1, 3]
    prediction[true == 1] = 3  # object 1 is taken for 3
    prediction[true == 3] = 3
    said = correct(true, prediction, (1, 3), "clicks")
    assert [number for number, _ in said] == [1, 1]  # once missed, once wrongly there: either way it is object 1
    assert all(isinstance(click, Click) and true[int(click.y), int(click.x)] == 1 for _, click in said)
    assert correct(true, true, (1, 3), "clicks") == [] == correct(true, true, (1, 3), "scribbles")


def test_real_strokes_make_a_mask_better() -> None:
    class Painter(Follower):
        drawn = np.zeros((HEIGHT, WIDTH), np.uint16)

        def interact(self, index: int, said: Any, *, propagate: bool = True) -> None:
            frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            alone = [
                PaintingSegmenter().segment(frame, (self.drawn == number).astype(np.float32), about)
                for number, about in about_each(said, (1, 3)).items()
            ]
            self.drawn = labels_of(np.stack(alone), (1, 3), 0.5)

        def labels(self, index: int) -> np.ndarray:
            return self.drawn

    played = play(film((2,)), (1, 3), Painter(), Rules(interactions=5))
    jaccards = played.figures[0].mean((1, 2))
    assert jaccards[0] < 0.4 and jaccards[-1] > 0.8 and played.frames == (2,) * 5


def test_objects_and_the_frame_that_shows_them_best() -> None:
    assert objects_of(film()) == (1, 3)
    assert best_frame(film(), (1, 3)) == 3 and best_frame(film((0, 4)), (1, 3)) == 0
    with pytest.raises(UserError, match="film has no labels"):
        play(film(()), (1, 3), Follower(), Rules())


def test_what_is_kept_comes_back() -> None:
    played = play(film(), (1, 3), Follower(), Rules(interactions=3))
    again = from_json(json.loads(json.dumps(as_json(played))), (COUNT, 2))
    assert np.allclose(again.figures, played.figures) and again.frames == played.frames
    with pytest.raises(ValueError):
        from_json({**as_json(played), "seconds": [1.0]}, (COUNT, 2))


def test_scribbles_of_persons(tmp_path: Path) -> None:
    folder = tmp_path / "Scribbles" / "film"
    folder.mkdir(parents=True)
    line = {"path": [[0.0, 0.0], [1.0, 0.999]], "object_id": 3, "start_time": 0, "end_time": 9}
    frames: list[Any] = [[], [], [line, {**line, "object_id": 0}], []]
    (folder / "001.json").write_text(json.dumps({"scribbles": frames, "sequence": "film"}))
    (folder / "002.json").write_text(json.dumps({"scribbles": [[], []], "sequence": "film"}))
    (first,) = read_scribbles(tmp_path, film())
    assert first.frame == 2 and [number for number, _ in first.said] == [3, 0]
    assert first.said[0][1] == Stroke(((0.0, 0.0), (79.0, 58.0)))
    assert read_scribbles(tmp_path / "elsewhere", film()) == []
    for broken in ({"scribbles": [[{"path": [[0, 2]], "object_id": 1}]]}, {"scribbles": [[{"path": [[0, 1]]}]]}, {}):
        (folder / "001.json").write_text(json.dumps(broken))
        with pytest.raises(UserError, match=r"001\.json is no file of DAVIS scribbles"):
            read_scribbles(tmp_path, film())
