from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from univs.commands.output_folder import OutputFolder
from univs.commands.sheet_frames import SheetFrames
from univs.results import FrameResult

LABELS = np.zeros((8, 12), np.uint8)
FRAME = np.zeros((8, 12, 3), np.uint8)


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [
        (0, 1, [0]),
        (0, 12, list(range(12))),
        (0, 13, [0, 2, 4, 6, 8, 10, 12]),
        (40, 92, [*range(40, 131, 8), 131][:11] + [131]),
        (3, 1000, [3, 131, 259, 387, 515, 643, 771, 899, 1002]),
    ],
)
def test_sheet_keeps_even_steps_and_the_last_frame(first: int, count: int, expected: list[int]) -> None:
    sheet = SheetFrames()
    drawn: list[int] = []

    def draw(index: int) -> np.ndarray:
        drawn.append(index)
        return FRAME

    for index in range(first, first + count):
        sheet.add(index, lambda index=index: draw(index))
    assert list(sheet.pictures()) == expected
    assert len(drawn) <= 12 * 8  # far fewer than the frames of a long video


def test_after_a_bug_nothing_half_done_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), OutputFolder(tmp_path / "out", 25, "") as output:
        output.add(FRAME, FrameResult(0, LABELS, (1,)))
        raise RuntimeError
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["masks"]
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["00000.png"]
