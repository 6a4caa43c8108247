"""Number formats: what is handed out stays float32, near what float32 gives; the given model stays as it was."""

from __future__ import annotations

import pytest
import torch

from tests.streaming.conftest import small_model
from univs.errors import UserError
from univs.models.features import DecodeRequest
from univs.models.mask_refiner import MaskRefiner
from univs.models.precision import with_precision


def test_bfloat16_is_near_float32_and_handed_out_as_float32() -> None:
    model = small_model()
    images = model.normalize(torch.randint(0, 255, (1, 3, 64, 96), dtype=torch.uint8))
    fast = with_precision(model, "bfloat16")
    with torch.inference_mode():
        plain, cast = model.encode_image(images), fast.encode_image(images)
        answers = [m.decode(plain, DecodeRequest(learnable=True)).mask_logits for m in (model, fast)]
        again = model.encode_image(images)
    assert cast.mask_features.dtype == torch.float32 and answers[1].dtype == torch.float32
    for exact, near in ((plain.mask_features, cast.mask_features), answers):
        assert 0 < (exact - near).abs().max() < 0.1 * exact.abs().max()
    assert torch.equal(plain.mask_features, again.mask_features)


@torch.inference_mode()
def test_the_trunk_of_the_closer_look_is_cast_with_the_others() -> None:
    model = small_model()
    model.mask_refiner = MaskRefiner([], 64, (8, 8, 16), 1, trunk="tf_efficientnet_lite0").eval()
    fast, squares = with_precision(model, "bfloat16"), torch.randn(1, 3, 64, 64)
    own, cast = (one.mask_refiner.trunk for one in (model, fast) if one.mask_refiner is not None)
    assert own is not None and cast is not None
    for exact, near in zip(own(squares), cast(squares), strict=True):
        assert near.dtype == torch.float32
        assert 0 < (exact - near).abs().max() < 0.1 * exact.abs().max()


def test_float32_is_the_model_itself() -> None:
    model = small_model()
    assert with_precision(model, "float32") is model


def test_formats_that_cannot_be() -> None:
    with pytest.raises(UserError, match="unknown precision 'int8'; known: float32, bfloat16, float16"):
        with_precision(small_model(), "int8")
    with pytest.raises(UserError, match="float16 is for GPUs"):
        with_precision(small_model(), "float16")
