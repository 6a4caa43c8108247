"""Objects followed by prompts, end to end, against the golden videos: masks, and the state after every clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.models import UniVS
from univs.models.clip_text import ClipTextEncoder
from univs.prompts import Mask, Text
from univs.results import FrameResult
from univs.streaming import Session
from univs.trackers.clip.prompted import ClipTracker

pytestmark = pytest.mark.conformance

AREA = 40
EMBEDDING = 5e-4


def options_of(case: Any) -> dict[str, Any]:
    """The settings of a case as options of the loop."""
    settings = case.info["thresholds"]
    square = settings["INPUT.LSJ_AUG.IMAGE_SIZE"] if settings["INPUT.LSJ_AUG.SQUARE_ENABLED"] else None
    return {
        "way": "clip",
        "clip_length": settings["INPUT.SAMPLING_FRAME_NUM"],
        "clip_stride": settings["MODEL.BoxVIS.TEST.CLIP_STRIDE"],
        "token_frames": settings["MODEL.UniVS.TEST.NUM_PREV_FRAMES_MEMORY"],
        "self_attention": settings["MODEL.UniVS.MASKDEC_SELF_ATTN_MASK_TYPE"],
        "square_padding": square,
    }


def check_trace(case: Any, session: Session, entry: dict[str, Any]) -> None:
    """The state after a clip: areas of the stored masks, and every 16th channel of the embeddings."""
    assert session._loop is not None
    tracker = session._loop.tracker
    assert isinstance(tracker, ClipTracker)
    frames = range(entry["first_frame"], entry["first_frame"] + entry["n_frames"])
    # expressions are numbered from 0 there, from 1 here
    shift = 0 if "objects" in case.info else 1
    rows = [tracker.objects.row(object_id + shift) for object_id in entry["ids"]]
    areas = torch.stack([(tracker.logits[index] > 0).sum((1, 2)) for index in frames], dim=1)[rows]
    embeddings = torch.stack([tracker.embeddings[index][:, ::16] for index in frames], dim=1)[rows].flatten(1)
    area_error = (areas - torch.tensor(entry["areas"])).abs().max().item()
    embedding_error = (embeddings - torch.tensor(entry["embds"])).abs().max().item()
    print(f"{case.name} clip at {frames.start}: areas {area_error:.0f}, embeddings {embedding_error:.1e}")
    assert area_error <= AREA and embedding_error <= EMBEDDING


def answers(case: Any, session: Session, prompts: dict[int, list[Any]]) -> list[FrameResult]:
    """The results of all frames; the trace is checked as it grows."""
    frames = case.whole("frames_uint8_rgb").permute(0, 2, 3, 1).contiguous().numpy()
    trace = {entry["first_frame"] + entry["n_frames"]: entry for entry in case.info["trace"]}
    results: list[FrameResult] = []
    for index, frame in enumerate(frames):
        results += session.push(frame, prompts.get(index, ()))
        if index + 1 in trace:
            check_trace(case, session, trace.pop(index + 1))
    results += session.finish().rest
    assert not trace and [result.frame_index for result in results] == list(range(len(frames)))
    return results


def intersection_over_union(ours: Tensor, theirs: Tensor) -> float:
    union = (ours | theirs).sum().item()
    return (ours & theirs).sum().item() / union if union else 1.0


@pytest.mark.cases("stream_vos_*")
def test_shown_objects(case: Any, stream_model: UniVS, golden_draws: None) -> None:
    masks = case.whole("object_masks_unpadded").numpy()
    prompts: dict[int, list[Any]] = {}
    for entry, mask in zip(case.info["objects"], masks, strict=True):
        prompts.setdefault(entry["first_frame"], []).append(Mask(entry["id"], mask))
    width = case.info["thresholds"]["MODEL.UniVS.VISUAL_PROMPT_PIXELS_PER_IMAGE"]
    with Session(stream_model, "vos", token_width=width, **options_of(case)) as session:
        session.expect([entry["id"] for entry in case.info["objects"]])
        results = answers(case, session, prompts)
    ours, theirs = np.stack([result.labels for result in results]), case.whole("index_masks").numpy()
    assert (ours != theirs).mean() < 1e-4
    for entry in case.info["objects"]:
        same = intersection_over_union(*(torch.from_numpy(labels == entry["id"]) for labels in (ours, theirs)))
        print(f"{case.name} object {entry['id']}: IoU {same:.6f}")
        assert same >= 0.999


@pytest.mark.cases("stream_refvos_*")
def test_described_objects(case: Any, stream_model: UniVS, text_encoder: ClipTextEncoder) -> None:
    sentences = case.info["sentences"]
    prompts = {0: [Text(sentence, number) for number, sentence in enumerate(sentences, start=1)]}
    options = {"text_encoder": text_encoder, "clean_texts": False, **options_of(case)}
    with Session(stream_model, "refvos", **options) as session:
        results = answers(case, session, prompts)
    theirs = case.whole("masks")
    for number in range(1, len(sentences) + 1):
        ours = torch.from_numpy(np.stack([result.mask(number) for result in results]))
        same = intersection_over_union(ours, theirs[number - 1])
        print(
            f"{case.name} expression {number}: IoU {same:.6f}, differ {(ours != theirs[number - 1]).float().mean():.1e}"
        )
        assert same >= 0.999
