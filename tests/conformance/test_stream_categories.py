"""Everything of some categories found and followed, end to end, against the golden videos: masks, rows, the state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.masks.strips import upsampled
from univs.models import UniVS
from univs.models.official import CLASS_ROWS
from univs.prompts import Categories
from univs.results import FrameResult
from univs.streaming import Session
from univs.trackers.clip.entities import EntityTracker
from univs.trackers.clip.instances import InstanceOutput
from univs.trackers.clip.panoptic import PanopticOutput
from univs.vocabularies import vocabulary

pytestmark = pytest.mark.conformance

AREA = 40
EMBEDDING = 5e-4
SCORE = 2e-4
QUALITY = 1e-3  # summed over the clips; a single cell at the threshold is 1e-4

COMMON = {
    "clip_length": "INPUT.SAMPLING_FRAME_NUM",
    "clip_stride": "MODEL.BoxVIS.TEST.CLIP_STRIDE",
}
ENTITIES = {
    "token_frames": "MODEL.UniVS.TEST.NUM_PREV_FRAMES_MEMORY",
    "token_width": "MODEL.UniVS.VISUAL_PROMPT_PIXELS_PER_IMAGE",
    "self_attention": "MODEL.UniVS.MASKDEC_SELF_ATTN_MASK_TYPE",
    "window": "MODEL.BoxVIS.TEST.NUM_FRAMES_WINDOW",
    "detect_interval": "MODEL.UniVS.TEST.DETECT_NEWLY_INTERVAL_FRAMES",
    "match": "MODEL.UniVS.TEST.DETECT_NEWLY_OBJECT_THRESHOLD",
    "consistency": "MODEL.UniVS.TEST.TEMPORAL_CONSISTENCY_THRESHOLD",
    "box_overlap": "MODEL.UniVS.TEST.BOX_NMS_THRESH",
    "class_score": "MODEL.BoxVIS.TEST.APPLY_CLS_THRES",
}
INSTANCES = {
    "stability": "MODEL.MASK_FORMER.TEST.STABILITY_SCORE_THRESH",
    "most": "TEST.DETECTIONS_PER_IMAGE",
    "competition": "MODEL.MASK_FORMER.TEST.OVERLAP_THRESHOLD_ENTITY",
}
SEGMENTS = {"overlap": "MODEL.MASK_FORMER.TEST.OVERLAP_THRESHOLD"}


def session_of(case: Any, model: UniVS, table: Tensor, words: str, *settings: dict[str, str]) -> Session:
    """A session with the settings of a case, that looks for the categories of a benchmark."""
    thresholds = case.info["thresholds"]
    options = {option: thresholds[name] for names in (COMMON, *settings) for option, name in names.items()}
    square = thresholds["INPUT.LSJ_AUG.IMAGE_SIZE"] if thresholds["INPUT.LSJ_AUG.SQUARE_ENABLED"] else None
    start, count = CLASS_ROWS[words]
    known = vocabulary(words)
    return Session(
        model,
        case.info["task"],
        way="clip",
        square_padding=square,
        categories=Categories(known.names, known.things),
        class_embeddings=table[start : start + count],
        **options,
    )


def answers(case: Any, session: Session) -> list[FrameResult]:
    """The results of all frames."""
    frames = case.whole("frames_uint8_rgb").permute(0, 2, 3, 1).contiguous().numpy()
    results = [result for frame in frames for result in session.push(frame)]
    results += session.finish().rest
    assert [result.frame_index for result in results] == list(range(len(frames)))
    return results


def tracker_of(session: Session) -> EntityTracker:
    assert session._loop is not None
    tracker = session._loop.tracker
    assert isinstance(tracker, EntityTracker)
    return tracker


def check_trace(case: Any, tracker: EntityTracker, frames: range, entry: dict[str, Any]) -> None:
    """The state after the prompt queries or the learnable queries of a clip."""
    assert entry["first_frame"] == frames.start
    tracks = tracker.tracks
    assert len(tracks) == entry.get("n_total", entry.get("n"))
    if not len(tracks):
        return
    areas = torch.stack([(upsampled(tracks.logits[index]) > 0).sum((1, 2)) for index in frames], 1)
    errors = {"areas": ((areas - torch.tensor(entry["areas"])).abs().max().item(), AREA)}
    if entry["step"] == "after_detect":
        scores, classes = tracks.class_scores().max(1)
        assert classes.tolist() == entry["top_class"]
        for name, ours, tolerance in (
            ("quality", tracks.quality, QUALITY),
            ("top_score", scores, SCORE),
            ("embds", tracks.embeddings[:, -1, ::16], EMBEDDING),
        ):
            errors[name] = ((ours - torch.tensor(entry[name])).abs().max().item(), tolerance)
    print(case.name, entry["step"], frames.start, {name: f"{error:.1e}" for name, (error, _) in errors.items()})
    for name, (error, tolerance) in errors.items():
        assert error <= tolerance, f"{case.name}, clip at {frames.start}, {entry['step']}: {name} {error:.1e}"


@pytest.fixture(autouse=True)
def plain_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions and norms stay apart, as in the golden runs.

    Masks re-enter as tokens at places that are drawn from their cells: where rounding moves one cell over the
    threshold, all tokens of that mask are others. Fused convolutions are as exact, but round differently.
    """
    monkeypatch.setattr(UniVS, "ready", lambda model, *_: model)


@pytest.fixture
def traced(case: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every clip's state is compared with the recorded one."""
    trace = {(entry["step"], entry["first_frame"]): entry for entry in case.info["trace"]}
    appeared: dict[int, int] = {}  # entity id -> first frame of the clip that found it
    discover = EntityTracker.discover

    def compared(self: EntityTracker, clip: Any, found: Any) -> None:
        check_trace(case, self, clip.indices, trace.pop(("prompt", clip.span.start)))
        discover(self, clip, found)
        entry = trace.pop(("after_detect", clip.span.start))
        check_trace(case, self, clip.indices, entry)
        for entity_id in self.tracks.ids:
            appeared.setdefault(entity_id, clip.span.start)
        assert not appeared or list(appeared.values()) == entry["first_appear"]

    monkeypatch.setattr(EntityTracker, "discover", compared)
    yield
    assert not any(step == "after_detect" and entry["n_total"] for (step, _), entry in trace.items())


def intersection_over_union(ours: np.ndarray, theirs: np.ndarray) -> float:
    union = (ours | theirs).sum()
    return float((ours & theirs).sum() / union) if union else 1.0


@pytest.mark.cases("stream_vis_*")
def test_instances(case: Any, stream_model: UniVS, class_embeddings: Tensor, golden_draws: None, traced: None) -> None:
    words = "ovis" if "ovis" in case.info["config"] else "ytvis21"
    with session_of(case, stream_model, class_embeddings, words, ENTITIES, INSTANCES) as session:
        results = answers(case, session)
        tracker = tracker_of(session)
    assert isinstance(tracker.output, InstanceOutput)
    rows = tracker.output.rows(tracker.tracks)
    order = list(dict.fromkeys(row.entity_id for row in rows))
    ours = torch.tensor([[order.index(row.entity_id), row.category, row.score] for row in rows])
    theirs = case.whole("rows_objidx_cat_score").reshape(-1, 3)
    assert torch.equal(ours[:, :2], theirs[:, :2].to(ours))
    assert (ours[:, 2] - theirs[:, 2]).abs().max() <= SCORE
    masks = case.whole("masks").numpy()
    assert len(masks) == len(order)
    for entity_id, wanted in zip(order, masks, strict=True):
        nothing = np.zeros(wanted.shape[1:], bool)
        found = [result.mask(entity_id) if entity_id in result.object_ids else nothing for result in results]
        same = intersection_over_union(np.stack(found), wanted)
        print(f"{case.name} entity {entity_id}: IoU {same:.6f}")
        assert same >= 0.999


@pytest.mark.cases("stream_vps_*")
def test_segments(case: Any, stream_model: UniVS, class_embeddings: Tensor, golden_draws: None, traced: None) -> None:
    with session_of(case, stream_model, class_embeddings, "vipseg", ENTITIES, SEGMENTS) as session:
        results = answers(case, session)
        output = tracker_of(session).output
    assert isinstance(output, PanopticOutput)
    ours = [{"id": s.number, "isthing": s.is_thing, "category_id": s.category + 1} for s in output.segments]
    assert ours == case.info["segments_infos"]
    maps, wanted = np.stack([result.labels for result in results]), case.whole("panoptic_ids").numpy()
    print(f"{case.name}: {(maps != wanted).mean():.1e} of the pixels differ")
    assert (maps != wanted).mean() < 1e-4
    for segment in output.segments:
        assert intersection_over_union(maps == segment.number, wanted == segment.number) >= 0.999


@pytest.mark.cases("stream_vss_*")
def test_classes(case: Any, stream_model: UniVS, class_embeddings: Tensor) -> None:
    with session_of(case, stream_model, class_embeddings, "vspw") as session:
        results = answers(case, session)
    maps = np.stack([result.labels for result in results]).astype(int) - 1
    wanted = case.whole("semantic").numpy()
    print(f"{case.name}: {(maps != wanted).mean():.1e} of the pixels differ")
    assert (maps != wanted).mean() < 1e-4
    categories, pixels = np.unique(wanted, return_counts=True)
    for category in categories[pixels >= 10_000]:  # of a few pixels a single one is more than a thousandth
        assert intersection_over_union(maps == category, wanted == category) >= 0.999
