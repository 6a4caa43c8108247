"""Objects that are stuff (PVOS): where the map of classes sees them, and what follows from that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.streaming.conftest import moving_squares, small_model
from tests.trackers.clip.test_prompted import RELEASED
from univs.errors import UserError
from univs.masks.geometry import Geometry
from univs.models.features import Prediction
from univs.models.univs import UniVS
from univs.prompts import Categories, Mask, Text
from univs.results import FrameResult
from univs.streaming import segment
from univs.trackers.classes import Classes
from univs.trackers.clip.prompted import ClipPrediction
from univs.trackers.clip.stuff_objects import StuffObjects

FRAMES, FIRST = moving_squares(7)
CLASSES = Categories(("block", "sky", "grass"), frozenset({0}))


@pytest.fixture(scope="module")
def model() -> UniVS:
    return small_model(dense_memory=None, streaming=RELEASED)


def test_the_map_of_classes_equals_a_slow_one() -> None:
    g = torch.Generator().manual_seed(0)
    geometry = Geometry.fit(61, 90, None)
    classes = Classes(("block", "sky", "grass"), torch.zeros(3, 4), torch.tensor([True, False, False]))
    stuff = StuffObjects(lambda: classes, geometry)
    assert not stuff
    stuff.take_in(7, "block")
    assert not stuff  # things are none
    for object_id, name in {5: "grass", 7: "block", 9: "sky"}.items():
        stuff.take_in(object_id, name)
    assert 5 in stuff and 9 in stuff and 7 not in stuff
    stuff.take_in(9, "block")  # what is said later counts
    assert 9 not in stuff
    stuff.take_in(9, "sky")
    stuff.remove(5)
    stuff.remove(6)  # nothing was known of it
    assert 5 not in stuff and bool(stuff)
    stuff.take_in(5, "grass")
    height, width = geometry.padded
    logits = torch.randn(1, 6 + 3, 2, height // 4, width // 4, generator=g) * 3
    class_logits = torch.randn(1, 9, 3, generator=g) * 4
    seen = stuff.seen(Prediction(logits, torch.zeros(1, 9, 2, 8), class_logits), [5, 7, 9])
    large = F.interpolate(logits[0, :6], (height, width), mode="bilinear", align_corners=False)
    cropped = large[:, :, : geometry.input_height, : geometry.input_width]
    quality = (cropped > 1).flatten(1).sum(1) / (cropped > -1).flatten(1).sum(1)
    for t in range(2):
        votes = sum(
            (class_logits[0, q].sigmoid() * quality[q])[:, None, None] * large[q, t].sigmoid() for q in range(6)
        )
        best = votes.argmax(0)  # type: ignore[union-attr]
        assert (seen[t][0] == (best == 2)).all() and (seen[t][2] == (best == 1)).all()
        assert not seen[t][1].any() and seen[t][0].any() and seen[t][2].any()


def test_where_stuff_certainly_is_its_logit_is_ten() -> None:
    logits, sure = torch.tensor([[[-3.0, 12.0]]]), torch.tensor([[[True, False]]])
    prediction = ClipPrediction([logits], torch.zeros(1, 1, 2), torch.ones(1), [sure])
    assert prediction.assured([logits])[0].tolist() == [[[10.0, 12.0]]]
    assert prediction.of([0]).assured([logits])[0].tolist() == [[[10.0, 12.0]]]


def follow(model: UniVS, *names: Text, object_ids: tuple[int, ...] = (1, 2)) -> list[FrameResult]:
    prompts = [Mask(object_id, FIRST == object_id) for object_id in object_ids]
    embeddings = torch.randn(3, model.mask_decoder.class_projection.out_features, generator=torch.Generator())
    options = {"classes": CLASSES, "class_embeddings": embeddings}
    return list(segment(model, FRAMES, {0: [*prompts, *names]}, task="pvos", **options))


def test_without_stuff_it_is_video_object_segmentation(model: UniVS) -> None:
    prompts = {0: [Mask(1, FIRST == 1), Mask(2, FIRST == 2)]}
    plain = list(segment(model, FRAMES, prompts, task="vos"))
    for names in ((), (Text("block", 1),)):
        ours = follow(model, *names)
        assert all((a.labels == b.labels).all() for a, b in zip(ours, plain, strict=True))
    assert ours[3].names == {1: "block"}


def test_stuff_is_where_its_class_is(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the map says on the later frames of a clip is the object's, whatever its own mask says."""

    def seen(self: StuffObjects, prediction: Prediction, object_ids: list[int]) -> list[torch.Tensor]:
        frames = prediction.mask_logits.shape[2]
        maps = [torch.zeros(len(object_ids), *self._geometry.padded, dtype=torch.bool) for _ in range(frames)]
        for place in maps:
            place[list(object_ids).index(2), 40:50, 60:80] = True
        return maps

    monkeypatch.setattr(StuffObjects, "seen", seen)
    results = follow(model, Text("sky", 2), object_ids=(2,))  # alone: nobody else can be surer
    assert np.array_equal(results[0].labels, np.where(FIRST == 2, 2, 0))
    assert all((result.labels[41:49, 61:79] == 2).mean() > 0.95 for result in results[1:3])


def test_names_that_cannot_be_used(model: UniVS) -> None:
    with pytest.raises(UserError, match="object 1 cannot be of the class 'skye': no such class is known; did you mean"):
        follow(model, Text("skye", 1))
    with pytest.raises(UserError, match="object 3 has the name 'sky' but is not shown"):
        follow(model, Text("sky", 3))
