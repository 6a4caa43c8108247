"""Pictures of a run: what the model makes of a few training clips, beside what is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from univs.data.clips import TrainingClip, TrainingClips, spread
from univs.data.prompt_drawing import KINDS, FramePrompts
from univs.files import atomic_path
from univs.models.univs import UniVS
from univs.prompts import Box, Mask, Points, Prompt, Scribble
from univs.streaming import Session
from univs.visualization import contact_sheet, draw_prompts, overlay

CLIPS = 4
COLUMNS = 6
"""Frames of a clip that are shown at most."""


class ClipPictures:
    """Draws the first training clips with what a session of the model answers to their prompts.

    Args:
        model: that is being trained; left as it is.
        clips: training clips; the same ones are drawn every time, so that pictures can be compared.
        folder: of the pictures.
    """

    def __init__(self, model: UniVS, clips: TrainingClips, folder: Path) -> None:
        self._model, self._clips, self._folder = model, clips, folder

    def __call__(self, step: int) -> None:
        """Write FOLDER/STEP.jpg: for each clip a row of the truth, with the prompts, and a row of predictions."""
        cells: list[np.ndarray] = []
        captions: list[str] = []
        for number in range(CLIPS):
            clip = self._clips[number]
            answers = self._answers(clip)
            shown = spread(len(clip.frames), COLUMNS)
            prompts = prompts_of(clip.first, clip.labels[0])
            for t in shown:
                true = overlay(clip.frames[t], targets_of(clip, t), show_names=False)
                cells.append(draw_prompts(true, prompts) if t == 0 else true)
                kinds = ", ".join(f"{type(prompt).__name__.lower()} {prompt.object_id}" for prompt in prompts)
                captions.append(f"{clip.kind}: {kinds}" if t == 0 else f"frame {t}")
            for t in shown:
                cells.append(overlay(clip.frames[t], answers[t], show_names=False))
                figure = f"IoU {mean_iou(answers[t], targets_of(clip, t), clip.targets):.2f}"
                captions.append(figure if clip.boxes is None else f"frame {t}")
        columns = len(shown) if len(shown) > 1 else 4
        sheet = contact_sheet(cells, captions, title=f"step {step}: truth, and what the model answers", columns=columns)
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self._folder / f"{step}.jpg") as path:
            Image.fromarray(sheet).save(path, quality=90)

    def _answers(self, clip: TrainingClip) -> list[np.ndarray]:
        """Label maps of the frames, as at inference: the prompts are given on the first one."""
        training = self._model.training
        self._model.eval()
        try:
            with Session(self._model, "vos", size=0, keep_results=False) as session:
                prompts = prompts_of(clip.first, clip.labels[0])
                return [session.step(frame, prompts if t == 0 else []).labels for t, frame in enumerate(clip.frames)]
        finally:
            self._model.train(training)


def prompts_of(drawn: FramePrompts, labels: np.ndarray) -> list[Prompt]:
    """What was drawn for the objects of a frame, as a person would give it. labels: S S."""
    prompts: list[Prompt] = []
    for row, number in enumerate(drawn.ids.tolist()):
        if not number:
            continue
        kind = KINDS[drawn.kinds[row]]
        if kind == "mask":
            prompts.append(Mask(number, labels == number))
        elif kind == "box":
            x0, y0, x1, y1 = drawn.boxes[row].tolist()
            prompts.append(Box(number, (x0, y0, x1, y1)))
        elif kind == "point":
            made = drawn.signs[row] >= 0
            points = [(x, y) for x, y in drawn.points[row][made].tolist()]
            prompts.append(Points(number, points, [sign > 0 for sign in drawn.signs[row][made].tolist()]))
        else:
            prompts.append(Scribble(number, strokes_of(drawn.strokes == number)))
    return prompts


def strokes_of(marked: np.ndarray) -> list[list[tuple[float, float]]]:
    """Strokes that cover the marked pixels of S S and no others: one for each run of them in a row."""
    steps = np.diff(np.pad(marked.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1] - 1
    height, width = marked.shape
    # the middle of what rounds down to a pixel, and 1 at most
    ys = np.minimum((rows + 0.5) / (height - 1), 1).tolist()
    lefts, rights = (np.minimum((xs + 0.5) / (width - 1), 1).tolist() for xs in (starts, ends))
    return [[(left, y), (right, y)] for y, left, right in zip(ys, lefts, rights, strict=True)]


def targets_of(clip: TrainingClip, t: int) -> np.ndarray:
    """The label map of frame t with the targets alone; filled boxes where these are all that is known."""
    if clip.boxes is not None:
        labels = np.zeros_like(clip.labels[t])
        for number in clip.targets:
            x0, y0, x1, y1 = clip.boxes[number - 1, t].round().astype(int)
            labels[y0:y1, x0:x1] = number
        return labels
    return np.where(np.isin(clip.labels[t], clip.targets), clip.labels[t], 0)


def mean_iou(answer: np.ndarray, true: np.ndarray, ids: tuple[int, ...]) -> float:
    """Mean over the objects of the IoU on two label maps; 1 for one that is on neither."""
    values = []
    for number in ids:
        either = ((answer == number) | (true == number)).sum()
        values.append(((answer == number) & (true == number)).sum() / either if either else 1.0)
    return float(np.mean(values))
