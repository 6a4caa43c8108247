"""Memory while JSON is scored: it does not grow with the number of videos, neither here nor in the workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest
from pycocotools import mask as rle_tools

SIZE = (128, 128)
FRAMES = 6
TUBES = 2
MAY_GROW = 5.0
"""MiB. The files of many videos hold 15 MiB more than those of few, and they were held three times over."""
MEASURE = """
import json, resource, sys
from pathlib import Path
from univs.evaluation.metrics.scores import METRICS
scores = METRICS[sys.argv[1]].load()(Path(sys.argv[2]), Path(sys.argv[3]), workers=2)
peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([*peaks, next(iter(scores.summary.values()))]))
"""


def noise(number: int) -> dict[str, Any]:
    """A mask that has no short RLE."""
    mask = np.random.default_rng(number % 16).random(SIZE) < 0.5
    found = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(SIZE), "counts": found["counts"].decode()}


def runs(number: int) -> dict[str, Any]:
    """The same, as a list."""
    flat = (np.random.default_rng(number % 16).random(SIZE) < 0.5).T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(SIZE), "counts": [0, *counts] if flat[0] else counts}


def write_rows(file: TextIO, rows: Iterator[str]) -> None:
    file.write("[")
    for k, row in enumerate(rows):
        file.write(("," if k else "") + row)
    file.write("]")


def write_youtube_vis(folder: Path, videos: int) -> tuple[Path, Path]:
    """Annotations come first and are lists; the results are the same masks, compressed."""
    masks = [[json.dumps(noise(k)), json.dumps(runs(k))] for k in range(16)]

    def tubes(form: int, **more: Any) -> Iterator[str]:
        for number in range(videos * TUBES):
            own = {"video_id": number // TUBES + 1, "category_id": number % 3 + 1, **more}
            shown = ",".join(masks[(number + t) % 16][form] for t in range(FRAMES))
            yield f'{json.dumps(own)[:-1]}, "segmentations": [{shown}]}}'

    with (folder / "gt.json").open("w") as file:
        file.write('{"annotations": ')
        write_rows(file, tubes(1, areas=[2048] * FRAMES))
        listed = [{"id": k + 1, "height": SIZE[0], "width": SIZE[1], "length": FRAMES} for k in range(videos)]
        file.write(f', "videos": {json.dumps(listed)}, "categories": [{{"id": 1}}, {{"id": 2}}, {{"id": 3}}]}}')
    with (folder / "pred.json").open("w") as file:
        write_rows(file, tubes(0, score=0.5))
    return folder / "gt.json", folder / "pred.json"


def write_burst(folder: Path, videos: int) -> tuple[Path, Path]:
    masks = [noise(k)["counts"] for k in range(16)]
    tracks = {str(k + 1): 4 for k in range(TUBES)}

    def sequences() -> Iterator[str]:
        for number in range(videos):
            frames = [
                {track: {"rle": masks[(number + t + int(track)) % 16]} for track in tracks} for t in range(FRAMES)
            ]
            sequence = {
                "dataset": "D", "seq_name": f"s{number:04}", "height": SIZE[0], "width": SIZE[1],
                "annotated_image_paths": [f"{t}.jpg" for t in range(FRAMES)], "segmentations": frames,
                "track_category_ids": tracks,
            }  # fmt: skip
            yield json.dumps(sequence)

    for name in ("gt.json", "pred.json"):
        with (folder / name).open("w") as file:
            file.write('{"sequences": ')
            write_rows(file, sequences())
            file.write("}")
    return folder / "gt.json", folder / "pred.json"


def peaks(metric: str, gt: Path, pred: Path, spool: Path) -> tuple[float, float]:
    """MiB of the process and of the largest of its workers. The score must be perfect and the spool gone."""
    spool.mkdir(exist_ok=True)
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, metric, str(gt), str(pred)],
        env={"TMPDIR": str(spool), "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    own, workers, first = json.loads(told)
    assert first == pytest.approx(100 if metric == "burst" else 1)
    assert not list(spool.iterdir())
    return own, workers


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of workers is told in other units")
@pytest.mark.parametrize(
    ("metric", "write", "few"), [("youtube_vis", write_youtube_vis, 8), ("burst", write_burst, 12)]
)
def test_the_peak_does_not_grow_with_the_videos(
    tmp_path: Path, metric: str, write: Callable[[Path, int], tuple[Path, Path]], few: int
) -> None:
    megabytes: list[float] = []
    own: list[float] = []
    workers: list[float] = []
    for videos in (few, 8 * few):
        files = write(tmp_path, videos)
        megabytes.append(sum(path.stat().st_size for path in files) / 2**20)
        for part, peak in zip((own, workers), peaks(metric, *files, tmp_path / "spool"), strict=True):
            part.append(peak)
    assert megabytes[1] - megabytes[0] > 15
    assert own[1] - own[0] < MAY_GROW
    assert workers[1] - workers[0] < MAY_GROW
