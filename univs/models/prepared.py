"""A model made ready for inference once, however many sessions it answers.

Ready is the same image encoder with less memory traffic: batch norm and activation inside the convolutions, kernels in
the backbone's order. Folding and reordering weights takes longer than a frame, compiling far longer; what comes of it
is kept with the model for as long as the model lives, and made anew when its weights have changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from univs.models.backbone import FusedConvolution
from univs.models.precision import compiled as compiled_model
from univs.models.precision import with_precision
from univs.models.univs import UniVS

State = tuple[object, ...]


Network = TypeVar("Network", bound=nn.Module)


@dataclass
class _Kept:
    """Models made from the weights of one state, by (precision, compiled)."""

    state: State
    ready: dict[tuple[str, bool], Any] = field(default_factory=dict)


_KEPT: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def prepared(model: UniVS, precision: str = "float32", compiled: bool = False) -> UniVS:
    """The fast form of a model (`for_inference`) in that number format, perhaps with a compiled backbone.

    The same object every time until the weights change; it knows nothing of any video, so sessions may share it.
    Raises UserError for a precision that is not known or not for the model's device.
    """
    ready = _kept(model)
    if (precision, compiled) not in ready:
        if compiled:
            ready[precision, True] = compiled_model(prepared(model, precision))
        elif precision != "float32":
            ready[precision, False] = with_precision(prepared(model), precision)
        else:
            ready[precision, False] = for_inference(model)
    fast: UniVS = ready[precision, compiled]
    return fast


def prepared_network(model: Network, make: Callable[[Network], Network]) -> Network:
    """What `make` makes of any network, the same object every time until its weights change."""
    ready = _kept(model)
    if ("float32", False) not in ready:
        ready["float32", False] = make(model)
    fast: Network = ready["float32", False]
    return fast


def _kept(model: nn.Module) -> dict[tuple[str, bool], Any]:
    """What was made of a model with the weights that it has now."""
    state = state_of(model)
    kept = _KEPT.get(model)
    if kept is None or kept.state != state:
        kept = _KEPT[model] = _Kept(state)
    return kept.ready


@torch.no_grad()
def state_of(model: nn.Module) -> State:
    """What is equal as long as the weights are: where every tensor lies, how often it was written to, and its sum.

    The sum notices what is written past autograd (`tensor.data`), which is not counted.
    """
    named = list(chain(model.named_parameters(), model.named_buffers()))
    places = tuple((name, value.data_ptr(), _writes(value)) for name, value in named)
    sums = torch.stack([value.sum() for _, value in named if value.is_floating_point()])
    return (model.training, places, *sums.tolist())


def _writes(value: torch.Tensor) -> int:
    """How often a tensor was written to; made in inference mode, nobody counts."""
    return 0 if value.is_inference() else value._version


@torch.no_grad()
def for_inference(model: UniVS, but: Collection[str] = ()) -> UniVS:
    """A model that gives the same answers faster; it shares with the given one what cannot be made faster.

    Of their own are the weights of convolutions: those of the backbone and of the trunks of word head and closer look,
    fused, and, where the backbone is channels-last, those of pixel decoder and dense memory in that order. Later
    changes of the given model's weights do not reach these; `prepared` notices them.

    Args:
        but: names of parts with a trunk that stay as they are, for one that is trained.
    """
    fast = copy.copy(model)
    fast._modules = {**model._modules, "backbone": twin(model.backbone).eval()}
    if model.backbone.memory_format == torch.channels_last:
        for name in ("pixel_decoder", "dense_memory"):
            part = getattr(model, name)
            fast._modules[name] = part if part is None else reordered(twin(part), torch.channels_last)
    fused: list[nn.Module] = [fast.backbone]
    for name in ("word_head", "mask_refiner"):
        whole = getattr(model, name)
        if whole is not None and whole.trunk is not None and name not in but:
            other = copy.copy(whole)
            trunk = reordered(twin(whole.trunk).eval(), model.backbone.memory_format)
            other._modules = {**other._modules, "trunk": trunk}
            fast._modules[name] = other
            fused.append(trunk)
    for part in fused:
        fuse_norms(part)
    return fast


def fuse_norms(part: nn.Module) -> None:
    """Put each batch norm that follows a convolution, and its activation, into it; the part is changed in place."""
    for parent in list(part.modules()):
        children = list(parent.named_children())
        for (name, convolution), (norm_name, norm) in zip(children, children[1:], strict=False):
            if FusedConvolution.fits(convolution, norm):
                setattr(parent, name, FusedConvolution(convolution, norm))  # type: ignore[arg-type]
                setattr(parent, norm_name, nn.Identity())


def twin(module: nn.Module) -> nn.Module:
    """A module of the same parts and the very same tensors: parts that are then replaced in it stay in the given one.

    Where a part has hooks, which know the module that they were made for, everything is copied.
    """
    if any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()):
        return copy.deepcopy(module)
    other = copy.copy(module)
    other._parameters, other._buffers = dict(module._parameters), dict(module._buffers)
    other._modules = {name: part if part is None else twin(part) for name, part in module._modules.items()}
    return other


def reordered(module: nn.Module, order: torch.memory_format) -> nn.Module:
    """The given twin with kernels and maps in that order in memory; tensors that it shares stay as they are."""
    for part in module.modules():
        for name, kernel in part._parameters.items():
            if kernel is not None and kernel.ndim == 4:
                part._parameters[name] = nn.Parameter(kernel.to(memory_format=order), kernel.requires_grad)
        for name, maps in part._buffers.items():
            if maps is not None and maps.ndim == 4:
                part._buffers[name] = maps.to(memory_format=order)
    return module
