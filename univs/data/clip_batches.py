"""Batches of training clips: what a step takes, made where the clips are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from univs.data.box_scenes import area_of
from univs.data.clips import LEAST_LISTED, TrainingClip, spread
from univs.data.photo_pool import object_areas
from univs.data.prompt_drawing import FramePrompts

MOST_LISTED = 24
"""So many objects of a frame, the largest ones, are listed for the learnable queries."""


def listed_objects(labels: np.ndarray) -> np.ndarray:
    """Ids of the objects of a label map S S that the learnable queries are to find, ascending."""
    ids, areas = object_areas(labels, LEAST_LISTED)
    if len(ids) > MOST_LISTED:
        ids = np.sort(ids[np.argsort(-areas, kind="stable")[:MOST_LISTED]])
    return ids


def collate_clips(clips: Sequence[TrainingClip]) -> dict[str, Any]:
    """A batch of B clips of T frames; F = B * (frames prompted anew), frame after frame, in each clip after clip.

    frames B T 3 S S uint8, labels B T S S uint8, targets B M int64 (0 padded), complete B bool; `first`: the fields of
    `FramePrompts` with a leading axis B (rows: the targets); `anew`: the same with a leading axis F, `frame_index` F
    (time * B + clip), `objects` F G: ids of all objects there are to find (0 padded), and `complete`: indices of those
    of the F frames on which every object is labelled. Where boxes alone are known of any clip: `boxed` B bool, of
    which, and `boxes` B G T 4 float32 of their objects 1..G (zeros where one is not seen, and of the other clips).
    """
    most = max(len(clip.targets) for clip in clips)
    targets = [list(clip.targets) + [0] * (most - len(clip.targets)) for clip in clips]
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
    times = spread(len(clips[0].labels), len(clips[0].anew))
    shown = [(time, clip) for time in range(len(times)) for clip in range(len(clips))]
    listed = [listed_in(clips[b], times[t]) for t, b in shown]
    objects = np.zeros((len(shown), max(1, *map(len, listed))), np.int64)
    for row, ids in zip(objects, listed, strict=True):
        row[: len(ids)] = ids
    return {
        **stack_boxes(clips),
        "frames": frames.permute(0, 1, 4, 2, 3).contiguous(),
        "labels": torch.from_numpy(np.stack([clip.labels for clip in clips])),
        "targets": torch.tensor(targets),
        "complete": torch.tensor([clip.complete for clip in clips]),
        "first": stack_prompts([clip.first for clip in clips], most),
        "anew": {
            **stack_prompts([clips[b].anew[t] for t, b in shown]),
            "frame_index": torch.tensor([times[t] * len(clips) + b for t, b in shown]),
            "complete": torch.tensor([i for i, (_, b) in enumerate(shown) if clips[b].complete], dtype=torch.long),
            "objects": torch.from_numpy(objects),
        },
    }


def listed_in(clip: TrainingClip, time: int) -> np.ndarray:
    """Ids of the objects of a clip that the learnable queries are to find on a frame, ascending."""
    if clip.boxes is None:
        return listed_objects(clip.labels[time])
    return np.array([row + 1 for row, box in enumerate(clip.boxes[:, time]) if area_of(box) >= LEAST_LISTED], np.int64)


def stack_boxes(clips: Sequence[TrainingClip]) -> dict[str, Tensor]:
    """`boxed` and `boxes` of `collate_clips`, of as many objects as any clip has; nothing where all have masks."""
    counts = [0 if clip.boxes is None else len(clip.boxes) for clip in clips]
    if not any(counts):
        return {}
    stacked = np.zeros((len(clips), max(counts), len(clips[0].frames), 4), np.float32)
    for row, clip in zip(stacked, clips, strict=True):
        if clip.boxes is not None:
            row[: len(clip.boxes)] = clip.boxes
    return {"boxed": torch.tensor([count > 0 for count in counts]), "boxes": torch.from_numpy(stacked)}


def stack_prompts(prompts: Sequence[FramePrompts], rows: int | None = None) -> dict[str, Tensor]:
    """Prompts of several frames, field by field; of `rows` objects each (None: as many as any frame has)."""
    most = max(1, *(int((p.ids > 0).sum()) for p in prompts)) if rows is None else rows
    stacked = {}
    for each in fields(FramePrompts):
        values = torch.from_numpy(np.stack([getattr(p, each.name) for p in prompts]))
        stacked[each.name] = values if each.name == "strokes" else values[:, :most].contiguous()
    return stacked
