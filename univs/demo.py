"""`univs demo`: the main job with nothing given. Objects followed through two built-in clips by built-in weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table

from univs.claim import claim_folder
from univs.commands.earlier_results import holds_results, refuse_foreign, refuse_obstacles, remove_earlier
from univs.commands.segment import Summary, segment_to_folder
from univs.data.synth.demo import demo_clip
from univs.errors import UserError
from univs.evaluation.metrics.davis import boundary_f, jaccard
from univs.files import atomic_path
from univs.models.univs import UniVS
from univs.models.zoo import load_univs
from univs.prompts import Box, Prompt
from univs.results import FrameResult
from univs.terminal import plain_console
from univs.video import open_video
from univs.visualization import contact_sheet

RABBIT_CLIP = Path(__file__).parent / "weights" / "clips" / "bunny.mp4"
RABBIT_PROMPTS: dict[int, list[Prompt]] = {40: [Box(1, (100, 17, 355, 303))]}  # the first frame of it in full view
RABBIT_SIZE = 240  # short side for the model
RABBIT_FRAMES = (40, 58, 76, 94, 112, 131)  # shown on the sheet
SYNTH_FRAMES = (0, 6, 12, 18, 26, 39)


def run_demo(folder: Path) -> None:
    """Write overlay videos, masks and a contact sheet of both clips to a folder and print the figures.

    Raises UserError if the folder cannot be written to, or as `refuse_obstacles` and `refuse_foreign` do.
    """
    with claim_folder(folder) as claim:
        for place in (folder, folder / "synth", folder / "rabbit"):
            refuse_obstacles(place)
        sheet = folder / "contact_sheet.png"
        if not claim.unfinished:
            for place in (folder / "synth", folder / "rabbit"):
                refuse_foreign(place)
            if sheet.is_file() and not (holds_results(folder / "synth") or holds_results(folder)):
                raise UserError(f"{sheet} is not of an earlier run and would be replaced; name another --out")
        model = load_univs("tiny")
        console = plain_console()
        if claim.unfinished or holds_results(folder):
            remove_earlier(folder)
        sheet.unlink(missing_ok=True)
        console.print(_synth(model, folder / "synth", claim.unfinished))
        summary = _rabbit(model, folder / "rabbit", claim.unfinished)
        visible, asked = summary.visible[1], summary.frames - min(RABBIT_PROMPTS)
        console.print(
            f"Big Buck Bunny: the rabbit, given as a box on frame {min(RABBIT_PROMPTS)}, is visible in {visible} of "
            f"the {asked} frames from there on; {_speed(summary)}"
        )
        with atomic_path(sheet) as temporary:
            Image.fromarray(_sheet(folder)).save(temporary, optimize=True)
    for name in ("contact_sheet.png", "rabbit/overlay.mp4", "synth/overlay.mp4"):
        console.print(f"look at {folder / name}", soft_wrap=True)


def _rabbit(model: UniVS, folder: Path, unfinished: bool) -> Summary:
    return segment_to_folder(
        model,
        open_video(RABBIT_CLIP),
        RABBIT_PROMPTS,
        folder,
        size=RABBIT_SIZE,
        title="Big Buck Bunny",
        unfinished=unfinished,
    )


def _synth(model: UniVS, folder: Path, unfinished: bool) -> Table:
    sample, prompts = demo_clip()
    figures: dict[int, list[tuple[float, float]]] = defaultdict(list)
    start = {
        prompt.object_id: (frame, prompt) for frame, given in prompts.items() for prompt in given if prompt.object_id
    }

    def score(result: FrameResult) -> None:
        truth = sample.labels[result.frame_index]
        for object_id in result.object_ids:
            if result.frame_index > start[object_id][0]:
                pair = result.mask(object_id), truth == object_id
                figures[object_id].append((jaccard(*pair), boundary_f(*pair)))

    summary = segment_to_folder(
        model, open_video(sample.frames), prompts, folder, size=0, title="SynthVS", unfinished=unfinished, watch=score
    )
    return _table(figures, start, sample.categories, _speed(summary))


def _table(
    figures: Mapping[int, Sequence[tuple[float, float]]],
    start: Mapping[int, tuple[int, Prompt]],
    categories: Mapping[int, str],
    speed: str,
) -> Table:
    """J and F in per cent, over the frames after each object's prompt."""
    table = Table(title="SynthVS, against the known truth", caption=speed)
    for heading in ("object", "prompt", "frame"):
        table.add_column(heading)
    for heading in ("J", "F", "J&F"):
        table.add_column(heading, justify="right")
    means = []
    for object_id, values in sorted(figures.items()):
        j, f = 100 * np.mean(values, axis=0)
        means.append((j, f))
        frame, prompt = start[object_id]
        name = f"{object_id} {categories.get(object_id, '')}"
        table.add_row(name, type(prompt).__name__.lower(), str(frame), f"{j:.1f}", f"{f:.1f}", f"{(j + f) / 2:.1f}")
    table.add_section()
    j, f = np.mean(means, axis=0)
    table.add_row("mean", "", "", f"{j:.1f}", f"{f:.1f}", f"{(j + f) / 2:.1f}")
    return table


def _speed(summary: Summary) -> str:
    return f"{summary.frames} frames, {summary.frames / summary.model_seconds:.1f} a second"


def _sheet(folder: Path) -> np.ndarray:
    """Both clips on one page, read back from their overlay videos."""
    pictures, captions = [], []
    for name, wanted in (("rabbit", RABBIT_FRAMES), ("synth", SYNTH_FRAMES)):
        for index, frame in enumerate(open_video(folder / name / "overlay.mp4")):
            if index in wanted:
                pictures.append(frame)
                captions.append(f"{name}, frame {index}")
    return contact_sheet(pictures, captions, columns=3)
