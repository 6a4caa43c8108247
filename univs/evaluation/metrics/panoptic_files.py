"""Panoptic JSON files as COCO and VIPSeg write them: categories and the segments of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.label_pairs import shared_pixels
from univs.evaluation.metrics.panoptic import VOID, PanopticFrame, Segment
from univs.evaluation.metrics.score_files import read_ids, read_pair
from univs.fields import by_id, flag, whole


@dataclass(frozen=True)
class Categories:
    """Category id -> its place in 0..C-1, and whether it is a thing."""

    places: dict[int, int]
    things: dict[int, bool]

    @property
    def is_thing(self) -> NDArray[np.bool_]:
        """Things by place, C bool."""
        return np.array([self.things[number] for number in self.places], bool)


def read_categories(content: Any, path: Path) -> Categories:
    """The categories of a ground-truth file, in its order. UserError if it has none."""
    try:
        things = by_id((whole(row["id"]), flag(row["isthing"])) for row in content["categories"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} names no categories; expected categories: [id, isthing]") from error
    if not things:
        raise UserError(f"{path} names no categories; expected categories: [id, isthing]")
    return Categories({number: place for place, number in enumerate(things)}, things)


def read_segments(row: Any, path: Path, categories: Categories, true: bool) -> list[Segment]:
    """The segments of one frame. True ones need an area. UserError for a field that is missing, or its category."""
    try:
        segments = [
            Segment(
                whole(item["id"]),
                whole(item["category_id"]),
                flag(item.get("iscrowd")) and true,
                whole(item["area"]) if true else 0,
            )
            for item in row["segments_info"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fields = "id, category_id, area" if true else "id, category_id"
        raise UserError(f"{path}, frame {_name(row)}: expected segments_info: [{fields}]") from error
    for segment in segments:
        if segment.category not in categories.places:
            raise UserError(
                f"{path}, frame {_name(row)}: segment {segment.number} has the category {segment.category}, which the "
                "ground truth does not name"
            )
    return segments


class Frame(NamedTuple):
    """A frame to score: its maps and their listed segments; height and width, where a file says so."""

    truth: Path
    prediction: Path
    true_segments: list[Segment]
    predicted_segments: list[Segment]
    size: tuple[int, int] | None = None


def read_frame(frame: Frame) -> PanopticFrame:
    """What counts of a frame. Raises UserError for broken maps and for predicted ids that only one file has."""
    shared = shared_pixels(*read_pair(frame.truth, frame.prediction, read_ids, frame.size))
    check_listed(frame.prediction, shared.prediction, frame.predicted_segments)
    return PanopticFrame(frame.true_segments, frame.predicted_segments, shared)


def check_listed(path: Path, numbers: NDArray[np.int64], segments: Sequence[Segment]) -> None:
    """UserError if a predicted map holds an id that its JSON does not list, or the reverse."""
    found, listed = set(numbers.tolist()), {segment.number for segment in segments}
    if unknown := found - listed - {VOID}:
        raise UserError(f"{path} holds the id {min(unknown)}, which the segments_info of its frame does not list")
    if absent := listed - found:
        raise UserError(f"{path} holds no pixel of the id {min(absent)}, which the segments_info of its frame lists")


def _name(row: Any) -> str:
    return str(row.get("image_id", "?")) if isinstance(row, dict) else "?"
