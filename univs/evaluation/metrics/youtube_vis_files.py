"""Ground truth and results in the YouTube-VIS format, checked and spooled: no mask stays in memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from univs.errors import UserError
from univs.evaluation.metrics.by_video import may_fork, score_videos
from univs.evaluation.metrics.json_items import Item, json_arrays
from univs.evaluation.metrics.spool import Spooled, SpoolWriter
from univs.fields import by_id, whole
from univs.masks.rle import counts_as_text

FORMAT = "videos, categories and annotations in the YouTube-VIS format"
RESULTS = "a list of video_id, category_id, score, segmentations"


class Video(NamedTuple):
    """A video to score: its tubes are rows of the files, with run lengths as `counts_as_text` has them."""

    size: tuple[int, int]
    truth: Spooled
    found: Spooled
    gt: Path
    pred: Path
    """The files that the tubes come from, for messages."""


class Frames(NamedTuple):
    """What the ground truth says of a video."""

    name: str
    size: tuple[int, int]
    length: int


@dataclass(frozen=True)
class Rows:
    """The tubes of a file, in its order: N items, and of each its ids and its number of masks."""

    path: Path
    what: str
    items: Spooled
    videos: NDArray[np.int64]
    categories: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def check(self, videos: Mapping[int, Frames], categories: Iterable[int]) -> None:
        """UserError for the first tube with ids that are not known, or as many masks as its video has no frames."""
        numbers = np.array(sorted(videos), np.int64)
        frames = np.array([videos[number].length for number in numbers.tolist()], np.int64)
        strange = ~np.isin(self.videos, numbers)
        nameless = ~np.isin(self.categories, np.array(list(categories), np.int64))
        place = np.searchsorted(numbers, self.videos)
        wrong = strange | nameless
        wrong[~strange] |= self.lengths[~strange] != frames[place[~strange]]
        if not wrong.any():
            return
        first = int(wrong.argmax())
        tube, video = f"{self.path}, {self.what} {first}", int(self.videos[first])
        if strange[first]:
            raise UserError(f"{tube} is of video {video}, which the ground truth does not have")
        if nameless[first]:
            category = int(self.categories[first])
            raise UserError(f"{tube} has the category {category}, which the ground truth does not name")
        name, _, length = videos[video]
        raise UserError(f"{tube} has {int(self.lengths[first])} segmentations; {name} has {length} frames")

    def by_video(self) -> dict[int, Spooled]:
        """Video -> its tubes, in the order of the file."""
        order = np.argsort(self.videos, kind="stable")
        numbers, starts = np.unique(self.videos[order], return_index=True)
        parts = np.split(order, starts)[1:]  # what lies before the first one is nothing
        return {number: self.items.at(part) for number, part in zip(numbers.tolist(), parts, strict=True)}


def spool_videos(gt: Path, pred: Path, folder: Path, workers: int = 1) -> tuple[list[Video], dict[int, str]]:
    """The videos by id, and the names of the categories by id. Raises UserError for what is not as expected.

    Args:
        folder: where the temporary files go; the videos can be read as long as they are there.
        workers: processes at most; two read the two files, if they start at once.
    """
    readers: list[Callable[[], Any]] = [
        partial(spool_truth, gt, folder / "truth"),
        partial(spool_results, pred, folder / "results"),
    ]
    (videos, categories, truth), results = score_videos(_call, readers, workers if may_fork() else 1)
    for rows in (truth, results):
        rows.check(videos, categories)
    true, found = truth.by_video(), results.by_video()
    none = truth.items.at(slice(0))
    whole = [
        Video(frames.size, true.get(number, none), found.get(number, none), gt, pred)
        for number, frames in sorted(videos.items())
    ]
    return whole, dict(sorted(categories.items()))


def spool_truth(gt: Path, path: Path) -> tuple[dict[int, Frames], dict[int, str], Rows]:
    """Videos and names of categories by id, and the annotations. Raises UserError for what is not as expected."""
    videos: dict[int, Frames] | None = None
    categories: dict[int, str] | None = None
    annotations: Rows | None = None
    for key, items in json_arrays(gt, FORMAT, counts_as_text):
        try:
            if key == "videos":
                videos = by_id(_frames(item.value) for item in items)
            elif key == "categories":
                categories = by_id(_category(item.value) for item in items)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unexpected(gt, f" ({key}: {error if type(error) is ValueError else repr(error)})") from error
        if key == "annotations":
            annotations = spool_rows(items, gt, "annotation", "areas", path)
    if videos is None or categories is None or annotations is None:
        raise _unexpected(gt)
    return videos, categories, annotations


def spool_results(pred: Path, path: Path) -> Rows:
    """The results. Raises UserError for what is not as expected."""
    rows: Rows | None = None
    for key, items in json_arrays(pred, RESULTS, counts_as_text):
        if key is None:
            rows = spool_rows(items, pred, "result", "score", path)
    if rows is None:
        raise UserError(f"{pred} holds no list; expected {RESULTS}")
    return rows


def spool_rows(items: Iterable[Item], source: Path, what: str, also: str, path: Path) -> Rows:
    """Writes the tubes of a file. Raises UserError for one that lacks a field or whose ids are no numbers.

    Args:
        source, what: the file, and what it calls a tube, for messages.
        also: the field that a tube of this file has beside ids and masks.
        path: where they are written.
    """
    fields = ("video_id", "category_id", "segmentations", also)
    columns = [array("q") for _ in range(3)]
    with SpoolWriter(path) as writer:
        for place, (row, text) in enumerate(items):
            lacking = [field for field in fields if not isinstance(row, Mapping) or field not in row]
            if lacking:
                raise UserError(f"{source}, {what} {place} has no {lacking[0]}; expected {', '.join(fields)}")
            try:
                if not isinstance(row["segmentations"], list):
                    raise TypeError("no list")
                values = whole(row["video_id"]), whole(row["category_id"]), len(row["segmentations"])
                for column, value in zip(columns, values, strict=True):
                    column.append(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise UserError(
                    f"{source}, {what} {place}: expected whole numbers as ids and a list of segmentations"
                ) from error
            writer.add(text)
    return Rows(source, what, writer.spooled, *(np.array(column, np.int64) for column in columns))


def _call(function: Callable[[], Any]) -> Any:
    return function()


def _frames(row: Any) -> tuple[int, Frames]:
    length = whole(row["length"] if "length" in row else len(row["file_names"]))
    return whole(row["id"]), Frames(f"video {row['id']}", (whole(row["height"]), whole(row["width"])), length)


def _category(row: Any) -> tuple[int, str]:
    return whole(row["id"]), str(row.get("name", row["id"]))


def _unexpected(gt: Path, why: str = "") -> UserError:
    return UserError(f"{gt} is not what was expected{why}: {FORMAT}")
