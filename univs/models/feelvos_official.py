"""Official weights of FEELVOS: the names of its TensorFlow variables -> ours, and their layout.

Convolutions are stored as kh kw in out, depthwise ones as kh kw C 1.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from univs.errors import UserError

log = logging.getLogger(__name__)

MARK = "embedding_seg/"
"""What some names of its variables begin with, and no others' do."""
IGNORED = re.compile(r"global_step|.*/(Momentum|Adam|Adam_1|ExponentialMovingAverage)")
"""What the optimiser keeps beside the weights."""
_FIRST_UNIT = {"entry": 0, "middle": 3, "exit": 19}
"""Flow -> our number of its first unit."""
_SEPARABLE = re.compile(
    r"xception_65/(entry|middle|exit)_flow/block(\d)/unit_(\d+)/xception_module/"
    r"(?:separable_conv(\d)_(depthwise|pointwise)|(shortcut))/(.+)"
)
_TABLE = (
    (r"xception_65/entry_flow/conv1_(\d)", r"features.backbone.conv\1", r"features.backbone.norm\1"),
    (r"image_pooling", "features.pooled", "features.pooled_norm"),
    (r"aspp0", "features.near", "features.near_norm"),
    (r"concat_projection", "features.project", "features.project_norm"),
    (r"decoder/feature_projection(\d)", r"features.lows.\1", r"features.low_norms.\1"),
    (r"decoder/decoder_conv(\d)_(\w+)", r"features.refine.\1.\2", r"features.refine.\1.\2_norm"),
    (r"embedding/split_separable_conv2d_(\w+)", r"embedding.\1", ""),
    (r"embedding_seg/split_separable_conv2d_(\d)_(\w+)", r"head.layers.\1.\2", ""),
    (r"logits/semantic", "head.predict", ""),
)
"""Scope -> our convolution, our batch norm."""
_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_LEAF = {"weights": "weight", "depthwise_weights": "weight", "biases": "bias"}


def is_feelvos(names: Iterable[str]) -> bool:
    """Whether variables of these names are of FEELVOS."""
    return any(name.startswith(MARK) for name in names)


def our_name(official: str) -> str | None:
    """Our name of a variable; None if it has none."""
    if match := _SEPARABLE.fullmatch(official):
        flow, block, unit, number, part, shortcut, leaf = match.groups()
        place = _FIRST_UNIT[flow] + int(block) - 1 + int(unit) - 1
        ours = "shortcut" if shortcut else f"separable.{int(number) - 1}.{part}"
        return _leaf(f"features.backbone.units.{place}.{ours}", f"features.backbone.units.{place}.{ours}_norm", leaf)
    if match := re.fullmatch(r"aspp([123])_(depthwise|pointwise)/(.+)", official):
        ours = f"features.around.{int(match[1]) - 1}.{match[2]}"
        return _leaf(ours, f"{ours}_norm", match[3])
    for scope, convolution, norm in _TABLE:
        if match := re.fullmatch(rf"{scope}/((?:BatchNorm/)?\w+)", official):
            return _leaf(match.expand(convolution), match.expand(norm), match[match.lastindex or 0])
    return None


def _leaf(convolution: str, norm: str, leaf: str) -> str | None:
    scope, _, last = leaf.rpartition("/")
    if scope == "BatchNorm" and norm and last in _NORM:
        return f"{norm}.{_NORM[last]}"
    return f"{convolution}.{_LEAF[last]}" if not scope and last in _LEAF else None


def our_layout(official: str, values: NDArray[np.generic]) -> Tensor:
    """A variable as torch keeps it."""
    tensor = torch.from_numpy(np.array(values, dtype=np.float32))
    if tensor.ndim != 4:
        return tensor
    order = (2, 3, 0, 1) if official.endswith("/depthwise_weights") else (3, 2, 0, 1)
    return tensor.permute(order).contiguous()


def load_feelvos(network: nn.Module, variables: Mapping[str, NDArray[np.generic]]) -> None:
    """Fill a network from the official variables; what is not of the network is said in a log message.

    Raises UserError that names variables which are unknown, missing or of another shape; the network is then unchanged.
    """
    expected, found, ignored = network.state_dict(), {}, []
    for official, values in variables.items():
        if IGNORED.fullmatch(official):
            ignored.append(official)
            continue
        ours = our_name(official)
        if ours is None or ours not in expected:
            raise UserError(f"official weights do not fit: unknown {official}")
        tensor = our_layout(official, values)
        if tensor.shape != expected[ours].shape:
            shapes = f"{tuple(tensor.shape)} and not {tuple(expected[ours].shape)}"
            raise UserError(f"official weights do not fit: {official} has shape {shapes}, as torch counts")
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"official weights do not fit: {official} holds NaN or infinity")
        found[ours] = tensor
    missing = [ours for ours in expected if ours not in found and not ours.endswith("num_batches_tracked")]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"official weights do not fit: nothing for {missing[0]}{more}")
    counters = {name: torch.zeros_like(value) for name, value in expected.items() if name not in found}
    network.load_state_dict({**found, **counters})
    if ignored:
        log.warning("left out of the official weights, as they are the optimiser's: %s", _summary(ignored))


def start_feelvos(network: nn.Module, variables: Mapping[str, NDArray[np.generic]]) -> None:
    """Give a network what other official variables (a DeepLab of Xception-65) have for it, and say what starts anew.

    Raises UserError, the network unchanged, if there is nothing for the backbone.
    """
    expected, found = network.state_dict(), {}
    for official, values in variables.items():
        ours = None if IGNORED.fullmatch(official) else our_name(official)
        if ours in expected and (tensor := our_layout(official, values)).shape == expected[ours].shape:
            found[ours] = tensor
    missing = [name for name in expected if name not in found and not name.endswith("num_batches_tracked")]
    if not found or any(name.startswith("features.backbone.") for name in missing):
        raise UserError(
            "these variables are not those of an Xception-65 as DeepLab has it, with which to start FEELVOS"
        )
    network.load_state_dict(found, strict=False)
    log.warning("the variables have nothing for %s, which start anew", _summary(missing))


def _summary(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
