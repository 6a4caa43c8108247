from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from univs.errors import UserError
from univs.models.fused import FusedConvolution
from univs.models.prepared import prepared
from univs.models.univs import UniVS
from univs.streaming import Session

from .test_fused import small_model as made


@pytest.fixture
def model() -> UniVS:
    return made("tf_efficientnet_lite0")


def test_a_second_session_builds_nothing(model: UniVS, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Session(model, keep_results=False)._model
    monkeypatch.setattr("univs.models.prepared.for_inference", lambda model: pytest.fail("folded again"))
    assert Session(model, task="vis", keep_results=False)._model is first
    assert any(isinstance(part, FusedConvolution) for part in first.modules())


def by_optimizer(model: UniVS) -> None:
    optimizer = torch.optim.AdamW(model.backbone.parameters(), lr=0.1)
    sum(parameter.sum() for parameter in model.backbone.parameters()).backward()
    optimizer.step()


def by_loading(model: UniVS) -> None:
    model.load_state_dict({name: value * 1.02 for name, value in model.state_dict().items()})


def past_autograd(model: UniVS) -> None:
    next(model.backbone.parameters()).data[0, 0, 0, 0] += 1


def by_a_statistic(model: UniVS) -> None:
    model.backbone.body.bn1.running_mean += 1  # type: ignore[operator, union-attr]


def by_another_part(model: UniVS) -> None:
    model.backbone = made("tf_efficientnet_lite0").backbone
    next(model.backbone.parameters()).data += 1


@pytest.mark.parametrize("change", [by_optimizer, by_loading, past_autograd, by_a_statistic, by_another_part])
def test_changed_weights_are_noticed(model: UniVS, change: Callable[[UniVS], None]) -> None:
    images = torch.randn(1, 3, 64, 64)
    before = prepared(model).backbone(images)[-1]
    change(model)
    after = prepared(model).backbone(images)[-1]
    assert not torch.allclose(after, before)
    expected = model.backbone(images)[-1]
    assert torch.allclose(after, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_formats_are_kept_apart_and_share_their_weights(model: UniVS) -> None:
    plain, half = prepared(model), prepared(model, "bfloat16")
    assert half is not plain and prepared(model, "bfloat16") is half and prepared(model) is plain
    assert half.pixel_decoder is plain.pixel_decoder
    with pytest.raises(UserError, match="float16 is for GPUs"):
        prepared(model, "float16")


def test_it_goes_when_the_model_goes(model: UniVS) -> None:
    own = made("resnet18")
    kept = weakref.ref(prepared(own))
    del own
    gc.collect()
    assert kept() is None
