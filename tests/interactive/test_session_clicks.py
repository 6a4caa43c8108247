"""Clicks of a session: those that a mask came of are told again, until it is made otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.interactive.conftest import HEIGHT, WIDTH
from tests.interactive.segmenters.test_clicks import Plain
from tests.interactive.test_session import FIRST, SECOND, NewSession
from univs.interactive.corrections import CorrectedVideo
from univs.interactive.interactions import Click, Interactions, Stroke
from univs.interactive.segmenters import ClickSegmenter, PaintingSegmenter
from univs.masks.mask_files import write_objects

A, B, C, D = Click(5, 6), Click(20, 9), Click(7, 21, False), Click(30, 25)


class Dots:
    """A square at each click; keeps the clicks of each call: those that it was told again, and those since."""

    takes: frozenset[Any] = frozenset({"clicks"})

    def __init__(self) -> None:
        self.told: list[tuple[Sequence[Click], Sequence[Click]]] = []

    def segment(self, frame: np.ndarray, current: np.ndarray, said: Interactions) -> np.ndarray:
        self.told.append((said.earlier, said.clicks))
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        for click in (*said.earlier, *said.clicks):
            mask[int(click.y) - 1 : int(click.y) + 2, int(click.x) - 1 : int(click.x) + 2] = float(click.positive)
        return mask


def clicked(*clicks: Click) -> Interactions:
    return Interactions(clicks=clicks)


def test_clicks_are_told_again_of_each_frame_and_object(new_session: NewSession, tmp_path: Path) -> None:
    """Also with others in between, after undo, and when the workspace is opened again."""
    dots, folder = Dots(), tmp_path / "work"
    with new_session(workspace=folder) as session:
        cat, dog = session.add_object(), session.add_object()
        session.segment(3, dots, {cat: clicked(A), dog: clicked(B)})
        session.segment(4, dots, {cat: clicked(D)})
        result = session.segment(3, dots, {cat: clicked(C)})
        assert (result.labels == cat)[6, 5] and not (result.labels == cat)[21, 7] and (result.labels == dog)[9, 20]
        session.undo()
        session.segment(3, dots, {cat: clicked(D), dog: Interactions()})
        session.segment(3, dots, {dog: clicked(C)})
    with new_session(workspace=folder) as session:
        session.segment(3, dots, {cat: clicked(C)})
    assert dots.told == [((), (A,)), ((), (B,)), ((), (D,)), ((A,), (C,)), ((A,), (D,)), ((B,), (C,)), ((A, D), (C,))]


def test_clicks_are_forgotten_when_the_mask_is_made_otherwise(new_session: NewSession, tmp_path: Path) -> None:
    write_objects(tmp_path / "mask.png", FIRST.astype(np.uint16))
    dots = Dots()
    with new_session() as session:
        cat, dog = session.add_object(), session.add_object()
        for make in (
            lambda: session.interact(3, {cat: SECOND}),
            lambda: session.import_mask(3, tmp_path / "mask.png"),
            lambda: session.segment(3, PaintingSegmenter(), {cat: Interactions((Stroke(((3, 3), (9, 9))),))}),
            lambda: (session.remove_object(cat), session.add_object("", cat)),
        ):
            session.segment(3, dots, {cat: clicked(A)})
            make()
            session.segment(3, dots, {cat: clicked(B)})
            assert dots.told[-1] == ((), (B,))
            session.interact(3, {cat: FIRST})
        session.segment(3, dots, {cat: clicked(A)})
        session.interact(3, {dog: SECOND})
        session.segment(3, dots, {cat: clicked(B)})
        assert dots.told[-1] == ((A,), (B,)), "another object does not matter"


def test_a_likely_background_keeps_what_is_hardly_an_object(new_session: NewSession) -> None:
    class Faint(Dots):
        def segment(self, frame: np.ndarray, current: np.ndarray, said: Interactions) -> np.ndarray:
            return 0.55 * super().segment(frame, current, said)

    with new_session() as session:
        cat = session.add_object()
        assert session.segment(3, Faint(), {cat: clicked(A)}).labels[6, 5] == cat
        assert not session.segment(4, Faint(), {cat: clicked(A)}, background=0.6).labels.any()


def test_one_more_click_of_a_robot_goes_on_from_those_before(new_session: NewSession, film: list[np.ndarray]) -> None:
    """Two rounds on a frame give what all of the clicks give at once; with f-BRS, which does not see masks."""
    with new_session() as session:
        segmenter = ClickSegmenter(Plain().eval().requires_grad_(False), zoom=False)  # type: ignore[arg-type]
        video = CorrectedVideo(session, segmenter, [1])
        for round_of in ((1, A), (0, C)):
            video.interact(2, [round_of], propagate=False)
        nothing = np.zeros((HEIGHT, WIDTH), np.float32)
        whole = ClickSegmenter(Plain().eval().requires_grad_(False), zoom=False)  # type: ignore[arg-type]
        want = whole.segment(film[2], nothing, clicked(A, C)) > 0.5
        alone = whole.segment(film[2], nothing, clicked(C)) > 0.5
        assert np.array_equal(video.labels(2) == 1, want) and not np.array_equal(alone, want)
