"""Video object segmentation: objects shown by points, boxes, masks or scribbles are followed through the video."""

from __future__ import annotations

import torch

from univs.results import FrameResult
from univs.streaming.aggregation import label_map
from univs.streaming.engine import Answer
from univs.streaming.prompting import by_object
from univs.streaming.tasks.task import Task


def answer_out(answer: Answer) -> FrameResult:
    """Label map at the frame's size; a given mask is the answer itself, the later one wins where two overlap."""
    decoded = [row for row, object_id in enumerate(answer.object_ids, start=1) if object_id not in answer.given]
    log_odds = answer.geometry.enlarge(answer.log_odds[[0, *decoded]])
    dtype = torch.uint8 if max(answer.object_ids, default=0) <= 255 else torch.int32
    labels = label_map(log_odds, [answer.object_ids[row - 1] for row in decoded], dtype)
    for object_id, mask in answer.given.items():
        labels[mask] = object_id
    return FrameResult(answer.frame_index, labels, answer.object_ids, answer.scores)


VOS = Task("vos", prompts_in=by_object, answer_out=answer_out)
