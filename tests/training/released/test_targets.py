from __future__ import annotations

from dataclasses import replace

import torch

from univs.models.features import TextFeatures
from univs.training.released import LabelledClip
from univs.training.released.targets import boxes_of, clip_targets, running_numbers


def test_objects_that_no_frame_shows_are_left_out(clips: list[LabelledClip], texts: TextFeatures) -> None:
    clip = replace(clips[0], expressions=texts).visible(9)
    assert clip.ids.tolist() == [11, 12, 15] and clip.labels is not None and clip.labels.tolist() == [2, 1, 2]
    assert torch.equal(clip.masks, clips[0].masks[[0, 2, 3]]) and clip.expressions is not None
    for ours, whole in ((clip.expressions.words, texts.words), (clip.expressions.sentence, texts.sentence)):
        assert torch.equal(ours, whole[[0, 2, 3]])
    assert clip.expressions.word_mask.shape == (3, 3)
    assert clips[0].visible(2).ids.tolist() == [11, 12]  # the first ones


def test_some_frames_keep_all_objects(video: LabelledClip) -> None:
    part = video.visible(9).between(slice(2, 4))
    assert torch.equal(part.frames, video.frames[2:4]) and part.frame_indices == [8, 20]
    assert torch.equal(part.masks, video.masks[[0, 2], 2:4]) and part.frame_ids().tolist() == [[0, 0], [-1, -1]]


def test_ids_count_from_the_smallest_and_are_gone_where_the_object_is(clips: list[LabelledClip]) -> None:
    assert clips[0].visible(9).frame_ids().tolist() == [[0, 0], [1, -1], [4, 4]]
    assert clips[0].take(torch.zeros(0, dtype=torch.long)).frame_ids().shape == (0, 2)


def test_described_objects_are_numbered_as_they_come(clips: list[LabelledClip], texts: TextFeatures) -> None:
    clip = replace(clips[0], ids=torch.tensor([90, 5, 70, 90]), expressions=texts).visible(9)
    assert clip.frame_ids().tolist() == [[0, 0], [1, -1], [0, 0]]
    assert running_numbers(torch.tensor([8, 3, 8, 9, 3])).tolist() == [0, 1, 0, 2, 1]


def test_targets_of_clips_are_padded_to_the_most_objects(clips: list[LabelledClip]) -> None:
    visible = [clip.visible(9) for clip in clips]
    targets = clip_targets(visible)
    assert targets.present.tolist() == [[True] * 3, [True, False, False]]
    assert targets.ids.tolist() == [[[0, 0], [1, -1], [4, 4]], [[0, 0], [-1, -1], [-1, -1]]]
    assert targets.labels is not None and targets.labels.tolist() == [[2, 1, 2], [2, 0, 0]]
    assert torch.equal(targets.masks[0], visible[0].masks) and torch.equal(targets.masks[1, :1], visible[1].masks)
    assert not targets.masks[1, 1:].any() and targets.masks.dtype == torch.bool
    assert clip_targets([replace(clip, labels=None) for clip in visible]).labels is None


def test_masks_are_padded_right_and_below(clips: list[LabelledClip]) -> None:
    padded = clips[0].padded((96, 128)).masks
    assert torch.equal(padded[:, :, :64, :96], clips[0].masks)
    assert padded.shape[-2:] == (96, 128) and padded.sum() == clips[0].masks.sum()


def test_boxes_against_a_loop() -> None:
    masks = torch.rand(5, 2, 7, 9, generator=torch.Generator().manual_seed(0)) > 0.9
    masks[3, 1], masks[4, 0], masks[4, 0, 6, 8] = False, False, True
    for mask, box in zip(masks.flatten(0, 1), boxes_of(masks).flatten(0, 1).tolist(), strict=True):
        pixels = mask.nonzero().tolist()
        x, y = [x for _, x in pixels], [y for y, _ in pixels]
        assert box == ([min(x), min(y), max(x) + 1, max(y) + 1] if pixels else [0, 0, 0, 0])
