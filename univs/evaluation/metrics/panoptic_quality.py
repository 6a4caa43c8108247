"""`univs score panoptic_quality`: PQ, SQ and RQ of panoptic images in the COCO format.

`gt.json` and `pred.json`, each with the PNG of its images in the folder of the same name beside it (`gt/*.png`);
id = R + 256 G + 65536 B, 0 = void. Rules are those of panopticapi; figures are fractions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from univs.errors import UserError
from univs.evaluation.metrics.by_video import score_videos
from univs.evaluation.metrics.panoptic import PanopticTally, Tubes
from univs.evaluation.metrics.panoptic_files import Categories, Frame, read_categories, read_frame, read_segments
from univs.evaluation.metrics.score_files import need_folder, read_json
from univs.evaluation.metrics.scores import Progress, Scores, quiet
from univs.fields import whole

CHUNK = 64
"""Images that are scored as one job, so that no more than their sum is kept."""


def score(gt: Path, pred: Path, *, workers: int = 1, progress: Progress = quiet) -> Scores:
    """PQ over all images. Raises UserError for whatever is wrong with the files."""
    images, categories, names = find_images(gt, pred)
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    parts = score_videos(partial(measure_images, categories=categories), chunks, workers, progress)
    tally = sum(parts, PanopticTally.nothing(len(categories.places)))
    figures: dict[str, Any] = dict(tally.groups(categories.is_thing))
    pq, sq, rq = tally.quality
    figures["per_class"] = {number: {"pq": pq[k], "sq": sq[k], "rq": rq[k]} for number, k in categories.places.items()}
    summary = {
        f"{key.upper()}{kind}": figures[group][key]
        for group, kind in (("All", ""), ("Things", " things"), ("Stuff", " stuff"))
        for key in ("pq", "sq", "rq")
    }
    rows = {
        names[number]: {"PQ": pq[k], "SQ": sq[k], "RQ": rq[k]}
        for number, k in categories.places.items()
        if tally.seen[k]
    }
    return Scores(figures, summary, rows)


def measure_images(images: list[Frame], categories: Categories) -> PanopticTally:
    """The tally of some images. Raises UserError for broken maps and for predicted ids that only one file has."""
    tallies = (Tubes([read_frame(image)], categories.places).tally(1) for image in images)
    return sum(tallies, PanopticTally.nothing(len(categories.places)))


def find_images(gt: Path, pred: Path) -> tuple[list[Frame], Categories, dict[int, str]]:
    """The images, the categories and the names of these. Raises UserError for what is missing."""
    truth = read_json(gt, "annotations and categories in the COCO panoptic format")
    prediction = read_json(pred, "annotations in the COCO panoptic format")
    categories = read_categories(truth, gt)
    true_rows, predicted_rows = _by_image(truth, gt), _by_image(prediction, pred)
    folders = [
        need_folder(path.with_name(path.name.split(".json")[0]), f"the PNG of {path.name}") for path in (gt, pred)
    ]
    images = []
    for number, row in true_rows.items():
        if number not in predicted_rows:
            raise UserError(f"{pred} lacks the image {number} of {gt}")
        found = predicted_rows[number]
        images.append(
            Frame(
                folders[0] / _file_name(row, gt),
                folders[1] / _file_name(found, pred),
                read_segments(row, gt, categories, true=True),
                read_segments(found, pred, categories, true=False),
            )
        )
    if not images:
        raise UserError(f"{gt} holds no annotation; expected annotations: [image_id, file_name, segments_info]")
    names = {whole(row["id"]): str(row.get("name", row["id"])) for row in truth["categories"]}
    return images, categories, names


def _by_image(content: Any, path: Path) -> dict[Any, dict[str, Any]]:
    try:
        return {row["image_id"]: row for row in content["annotations"]}
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no panoptic file; expected annotations: [image_id, file_name, ...]") from error


def _file_name(row: dict[str, Any], path: Path) -> str:
    if "file_name" not in row:
        raise UserError(f"{path}, image {row['image_id']}: expected the file_name of its PNG")
    return str(row["file_name"])
