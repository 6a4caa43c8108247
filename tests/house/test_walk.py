"""How many files somebody has to open who follows one frame through the code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import univs
from univs.prompts import Mask, Prompt, Text
from univs.streaming import Session

SIDE = 64
FRAMES = 7
"""The last of them is looked at: every third one asks the expressions again (`ReferringSettings`)."""
SQUARE = np.zeros((SIDE, SIDE), bool)
SQUARE[20:44, 16:40] = True


def files_of_a_frame(task: str, said: Sequence[Prompt]) -> set[str]:
    """Files of univs/ with a function that runs in a later step of `tiny`, when the object is being followed."""
    root, seen = Path(univs.__file__).parent, set[str]()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(root)):
            seen.add(Path(frame.f_code.co_filename).relative_to(root).as_posix())

    picture = np.random.default_rng(0).integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    picture[SQUARE] = (230, 40, 40)
    with Session(univs.load("tiny"), task, size=SIDE) as session:
        for index in range(FRAMES):
            before = sys.getprofile()
            sys.setprofile(note if index == FRAMES - 1 else before)
            try:
                result = session.step(np.roll(picture, index, 1), said if index == 0 else ())
            finally:
                sys.setprofile(before)
    assert result.scores[1] > 0, "somebody is followed"
    return seen


@pytest.mark.parametrize(
    ("task", "said", "most"),
    [("vos", [Mask(1, SQUARE)], 18), ("refvos", [Text("the red square", 1), Mask(1, SQUARE)], 27)],
)
def test_a_frame_passes_through_few_files(task: str, said: Sequence[Prompt], most: int) -> None:
    files = files_of_a_frame(task, said)
    expected = {"streaming/session.py", "models/univs.py", "models/mask_decoder.py", "trackers/frame/tracker.py"}
    assert expected <= files and ("models/word_answers.py" in files) == (task == "refvos")
    assert len(files) <= most, f"{len(files)} files: {', '.join(sorted(files))}"
