"""The networks: every map from the trunk to the refined masks, and the path of training."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from univs.models.siammask import SiamMask
from univs.models.siammask_refinement import SIDES, WINDOWS, windows

pytestmark = pytest.mark.conformance
TOLERANCE = 1e-4
"""Of the largest entry."""

Networks = Callable[[str], SiamMask]
Feeding = Callable[[SiamMask, np.ndarray], Tensor]


@pytest.mark.files("networks*")
def test_maps_of_the_trunk(golden: Any, siammask: Networks, fed: Feeding) -> None:
    model = siammask("siammask")
    for crop in ("template", "search"):
        images = fed(model, golden[f"{crop}_u8"])
        for level, found in enumerate(model.trunk(images)):
            golden.check_features(f"{crop}_p{level}", found, TOLERANCE)
        golden.check_features(f"{crop}_feature", model.features(images)[0], TOLERANCE)


@pytest.mark.files("networks*")
def test_branches(golden: Any, siammask: Networks, fed: Feeding) -> None:
    model = siammask("siammask")
    template, _ = model.features(fed(model, golden["template_u8"]))
    search, _ = model.features(fed(model, golden["search_u8"]))
    for name, branch in (("cls", model.cls), ("loc", model.loc), ("mask", model.mask)):
        kernel = branch.kernel(template)
        golden.check_features(f"{name}_kernel", kernel, TOLERANCE)
        golden.check_features(f"{name}_search", branch.crop(search), TOLERANCE)
        golden.check_features(f"{name}_corr", branch.correlate(kernel, search), TOLERANCE)


@pytest.mark.files("networks*")
def test_answers_and_refined_masks(golden: Any, siammask: Networks, fed: Feeding) -> None:
    for model in (siammask("siammask"), siammask("siammask").ready("float32", False)):
        template = model.encode_template(fed(model, golden["template_u8"]))
        answer = model.search(template, fed(model, golden["search_u8"]))
        golden.check_features("cls_logits", answer.scores.flatten(1, 2), TOLERANCE)
        golden.check_features("loc", answer.boxes.flatten(1, 2), TOLERANCE)
        golden.check_features("corr_feature", answer.correlation, TOLERANCE)
        assert answer.correlation is not None
        golden.check_features("mask_logits", model.mask.head(answer.correlation), TOLERANCE)
        log_scores = answer.scores.log_softmax(1).permute(0, 2, 3, 4, 1)
        golden.check_features("cls_log_softmax", log_scores, TOLERANCE)
        places = [match for name in golden if (match := re.fullmatch(r"refine_(\d+)_(\d+)", name))]
        cells = torch.tensor([[0, int(place[1]), int(place[2])] for place in places])
        assert len(cells) > 1
        for place, mask in zip(places, model.masks(answer, cells), strict=True):
            golden.check_features(place[0], mask.view(1, -1), TOLERANCE)


@pytest.mark.files("networks*")
def test_every_step_of_the_refinement(golden: Any, siammask: Networks, fed: Feeding) -> None:
    """Of whichever cell the steps were recorded at."""
    model = siammask("siammask")
    answer = model.search(model.encode_template(fed(model, golden["template_u8"])), fed(model, golden["search_u8"]))
    assert model.refinement is not None and answer.correlation is not None
    places = [match for name in golden if (match := re.fullmatch(r"refine_(\d+)_(\d+)", name))]
    cells = torch.tensor([[0, int(place[1]), int(place[2])] for place in places])
    seeds = model.refinement.deconv(answer.correlation[0, :, cells[:, 1], cells[:, 2]].T[..., None, None])
    errors = [golden.error("refine_step_deconv", seed[None]) for seed in seeds]
    here = int(np.argmin(errors))
    x = seeds[[here]]
    golden.check_features("refine_step_deconv", x, TOLERANCE)
    for number, (seen, (window, step), side) in enumerate(zip(answer.maps[::-1], WINDOWS, SIDES, strict=True)):
        running = model.refinement.running[number](x)
        beside = model.refinement.beside[number](windows(seen, cells[[here]], 25, window, step))
        golden.check_features(f"refine_step_h{2 - number}", running, TOLERANCE)
        golden.check_features(f"refine_step_v{2 - number}", beside, TOLERANCE)
        x = model.refinement.after[number](F.interpolate(running + beside, size=(side, side), mode="nearest"))
        golden.check_features(f"refine_step_post{number}", x, TOLERANCE)


@pytest.mark.files("networks*")
def test_the_base_model(golden: Any, siammask: Networks, fed: Feeding) -> None:
    model = siammask("siammask_base")
    template = model.encode_template(fed(model, golden["template_u8"]))
    answer = model.search(template, fed(model, golden["search_u8"]))
    golden.check_features("base_cls_logits", answer.scores.flatten(1, 2), TOLERANCE)
    golden.check_features("base_loc", answer.boxes.flatten(1, 2), TOLERANCE)
    cells = torch.tensor([[0, y, x] for y in range(25) for x in range(25)])
    masks = model.masks(answer, cells)
    golden.check_features("base_mask_logits", masks.flatten(1).T.reshape(1, -1, 25, 25), TOLERANCE)


@pytest.mark.files("networks*")
def test_the_crops_of_training(golden: Any, siammask: Networks, fed: Feeding) -> None:
    """All cells of a smaller crop at once, which nothing needs to be padded for."""
    model, first = siammask("siammask"), int(golden["search143_offset"])
    crop = golden["search_u8"][:, first : first + 143, first : first + 143]
    found, _ = model.features(fed(model, crop))
    golden.check_features("train143_search_feature", found, TOLERANCE)
    answer = model.search(model.encode_template(fed(model, golden["template_u8"])), fed(model, crop))
    golden.check_features("train143_cls", answer.scores.flatten(1, 2), TOLERANCE)
    golden.check_features("train143_loc", answer.boxes.flatten(1, 2), TOLERANCE)
    count = answer.scores.shape[-1]
    cells = torch.tensor([[0, y, x] for y in range(count) for x in range(count)])
    golden.check_features("train143_refine", model.refined(answer, cells).flatten(1), TOLERANCE)
