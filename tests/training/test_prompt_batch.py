"""Prompts of many frames at once are those of each object on its own."""

from __future__ import annotations

import numpy as np
import torch

from univs.data.clip_batches import stack_prompts
from univs.data.prompt_drawing import KINDS, draw_prompts
from univs.models.features import PromptTokens
from univs.models.prompt_maps import box_maps, point_maps, stroke_maps
from univs.models.univs import UniVS
from univs.training.prompt_batch import encode_prompts


@torch.no_grad()
def test_batched_prompts_equal_those_of_single_objects(small_model: UniVS) -> None:
    model, rng = small_model.eval(), np.random.default_rng(1)
    labels = np.zeros((3, 64, 96), np.uint8)
    labels[0, 5:30, 10:50], labels[0, 40:60, 60:90], labels[2, 20:50, 30:70] = 1, 2, 5
    shares = dict.fromkeys(KINDS, 1.0)
    drawn = [draw_prompts(rng, one, [i for i in (1, 2, 5) if (one == i).any()], shares, 3) for one in labels]
    # every kind is there
    forced = [draw_prompts(rng, labels[0], [1, 2], {kind: 1.0}, 3) for kind in KINDS]
    drawn, labels = drawn + forced, np.concatenate([labels, labels[:1].repeat(4, 0)])
    frames = torch.from_numpy(rng.integers(0, 256, (7, 3, 64, 96), dtype=np.uint8))
    features = model.encode_image(model.normalize(frames))
    prompts = stack_prompts(drawn, 3)
    tokens, maps = encode_prompts(model, features, torch.from_numpy(labels), prompts)
    assert tokens.features.shape[:2] == (21, model.visual_sampler.tokens) and maps.shape == (7, 3, 2, 16, 24)
    for f, given in enumerate(drawn):
        alone = features.frames(slice(f, f + 1))
        for k in range(3):
            row = tokens.features[3 * f + k], tokens.positions[3 * f + k], tokens.valid[3 * f + k]
            if not given.ids[k]:
                assert not row[2].any() and not maps[f, k].any()
                continue
            kind = KINDS[int(given.kinds[k])]
            want: PromptTokens
            if kind == "box":
                box = torch.from_numpy(given.boxes[k : k + 1])
                want, rough = model.encode_boxes(alone, box), box_maps(box, (16, 24))
            elif kind == "point":
                points, signs = torch.from_numpy(given.points[k : k + 1]), torch.from_numpy(given.signs[k : k + 1])
                want, rough = model.encode_points(alone, points, signs), point_maps(points, signs, (16, 24))
            else:
                source = labels[f] if kind == "mask" else given.strokes
                mask = torch.from_numpy((source == given.ids[k])[None]).float()
                want, rough = model.encode_masks(alone, mask), stroke_maps(mask)
            count = want.features.shape[1]
            torch.testing.assert_close(row[0][:count], want.features[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(row[1][:count], want.positions[0], atol=1e-5, rtol=1e-5)
            assert torch.equal(row[2][:count], want.valid[0]) and not row[2][count:].any()
            torch.testing.assert_close(maps[f, k], rough[0])


@torch.no_grad()
def test_a_mask_prompt_is_the_whole_object_and_nothing_of_the_others(small_model: UniVS) -> None:
    """Told by the rough maps: cells of the object in the first channel, nothing said about where it is not."""
    labels = torch.zeros(1, 64, 64, dtype=torch.uint8)
    labels[0, :16, :32], labels[0, 32:, 32:] = 3, 9
    prompts = stack_prompts([draw_prompts(np.random.default_rng(0), labels[0].numpy(), [9, 3], {"mask": 1.0}, 3)], 3)
    features = small_model.encode_image(small_model.normalize(torch.zeros(1, 3, 64, 64)))
    tokens, maps = encode_prompts(small_model, features, labels, prompts)
    want = torch.zeros(3, 2, 16, 16)
    want[0, 0, 8:, 8:], want[1, 0, :4, :8] = 1, 1
    assert torch.equal(maps[0], want)
    assert tokens.valid.any(1).tolist() == [True, True, False]


@torch.no_grad()
def test_a_row_without_an_object_says_nothing_whatever_its_kind(small_model: UniVS) -> None:
    labels = torch.ones(1, 64, 64, dtype=torch.uint8)
    blank = stack_prompts([draw_prompts(np.random.default_rng(0), labels[0].numpy(), [], {"box": 1.0}, 4)], 4)
    blank["kinds"] = torch.arange(4)[None]
    features = small_model.encode_image(small_model.normalize(torch.zeros(1, 3, 64, 64)))
    tokens, maps = encode_prompts(small_model, features, labels, blank)
    assert not maps.any() and not tokens.valid[[0, 2, 3]].any()
