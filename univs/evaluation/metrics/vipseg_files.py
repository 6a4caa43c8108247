"""Videos in the VIPSeg format: spooled one by one, and read again where they are scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from univs.errors import UserError
from univs.evaluation.metrics.json_items import json_arrays
from univs.evaluation.metrics.panoptic_files import Categories, Frame, read_categories, read_segments
from univs.evaluation.metrics.score_files import need_folder
from univs.evaluation.metrics.spool import Spooled, SpoolWriter
from univs.fields import whole
from univs.texts import expecting

TRUTH = "panoptic_gt_VIPSeg_val.json"
HOLDS = "videos, annotations and categories in the VIPSeg format"
FIELDS = "annotations: [video_id, annotations]"


class SpooledVideo(NamedTuple):
    """A video that is yet to be read."""

    name: str
    gt: Path
    pred: Path
    truth: Spooled
    """One item: its annotations."""
    images: Spooled
    """One item: its frames with their sizes; or none."""
    prediction: Spooled
    """One item: what was found."""


class Found(NamedTuple):
    """The arrays of a file: spooled annotations, spooled videos, each by name; the categories."""

    annotations: Spooled
    places: dict[str, int]
    videos: Spooled
    video_places: dict[str, int]
    categories: list[Any]


def spool_videos(gt: Path, pred: Path, folder: Path) -> tuple[list[SpooledVideo], Categories]:
    """The videos of the ground truth with their predictions. Raises UserError for what is missing.

    Args:
        folder: where the temporary files go; the videos can be read as long as they are there.
    """
    truth_file, prediction_file = need_folder(gt, f"{TRUTH} and panomasksRGB") / TRUTH, pred / "pred.json"
    truth = _spool(truth_file, HOLDS, folder, "truth")
    need_folder(pred, "pred.json and pan_pred/VIDEO/*.png")
    prediction = _spool(prediction_file, "annotations of every video", folder, "prediction")
    categories = read_categories({"categories": truth.categories}, truth_file)
    videos = []
    for name, place in truth.places.items():
        if name not in prediction.places:
            raise UserError(f"{prediction_file} lacks the video {name} of {truth_file}")
        known = truth.video_places.get(name)
        images = truth.videos.at(slice(0) if known is None else [known])
        found = prediction.annotations.at([prediction.places[name]])
        videos.append(SpooledVideo(name, gt, pred, truth.annotations.at([place]), images, found))
    if not videos:
        raise UserError(f"{truth_file} holds no video; expected {HOLDS}")
    return videos, categories


def read_video(video: SpooledVideo, categories: Categories) -> list[Frame]:
    """The frames of a video in the order of the ground truth. Raises UserError for what is not as expected."""
    truth_file, prediction_file = video.gt / TRUTH, video.pred / "pred.json"
    (truth,), (prediction,), images = video.truth.read(), video.prediction.read(), list(video.images.read())
    with expecting(truth_file, "videos: [video_id, images: [id, height, width]]"):
        sizes = _sizes(images[0]) if images else {}
    with expecting(prediction_file, f"{FIELDS[:-1]}: [image_id, file_name, segments_info]]"):
        found = {str(row.get("image_id")): row for row in prediction["annotations"]}
    frames = []
    for row in truth["annotations"]:
        if not isinstance(row, Mapping):
            raise UserError(f"{truth_file}, video {video.name}: expected annotations: [image_id, segments_info]")
        image = str(row.get("image_id"))
        if image not in found:
            raise UserError(f"{prediction_file} lacks the frame {image} of video {video.name}")
        file_name, predicted_name = (str(r.get("file_name", f"{image}.png")) for r in (row, found[image]))
        frames.append(
            Frame(
                video.gt / "panomasksRGB" / video.name / Path(file_name).with_suffix(".png"),
                video.pred / "pan_pred" / video.name / Path(predicted_name).with_suffix(".png"),
                read_segments(row, truth_file, categories, true=True),
                read_segments(found[image], prediction_file, categories, true=False),
                sizes.get(image),
            )
        )
    return frames


def _spool(path: Path, holds: str, folder: Path, name: str) -> Found:
    """Writes annotations and videos of a file. UserError where annotations are not as expected or missing."""
    places: dict[str, int] = {}
    video_places: dict[str, int] = {}
    categories: list[Any] = []
    there = False
    with SpoolWriter(folder / name) as rows, SpoolWriter(folder / f"{name}-videos") as videos:
        for member, items in json_arrays(path, holds):
            if member == "annotations":
                there = True
                for place, (row, text) in enumerate(items):
                    if not (
                        isinstance(row, Mapping) and "video_id" in row and isinstance(row.get("annotations"), list)
                    ):
                        raise UserError(f"{path} is not in the VIPSeg format; expected {FIELDS}")
                    places[str(row["video_id"])] = place
                    rows.add(text)
            elif member == "videos":
                for place, (row, text) in enumerate(items):
                    if isinstance(row, Mapping) and "video_id" in row:
                        video_places[str(row["video_id"])] = place
                    videos.add(text)
            elif member == "categories":
                categories = [row for row, _ in items]
    if not there:
        raise UserError(f"{path} is not in the VIPSeg format; expected {FIELDS}")
    return Found(rows.spooled, places, videos.spooled, video_places, categories)


def _sizes(video: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Frame -> height and width, where the file says so."""
    return {
        str(image["id"]): (whole(image["height"]), whole(image["width"]))
        for image in video.get("images", ())
        if "height" in image and "width" in image
    }
