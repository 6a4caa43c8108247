"""Other number formats and compiled code, for those who trade exactness for speed.

Source of the rules: official inference runs under autocast too; its deformable pixel decoder stays in float32. Torch is
imported by what needs it, so that a format can be checked before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from univs.errors import UserError

if TYPE_CHECKING:
    import torch

    from univs.models.univs import UniVS

PRECISIONS = ("float32", "bfloat16", "float16")
CAST = ("backbone", "mask_decoder", "mask_refiner.trunk")
"""Parts that run in another format; what they hand out is float32 again."""


def with_precision(model: UniVS, precision: str) -> UniVS:
    """A model whose backbone, mask decoder and trunk of the closer look run in that number format; it shares its
    weights with the given one.

    Raises UserError for an unknown format, and for float16 on a CPU.
    """
    import torch

    device = model.pixel_mean.device.type
    check_precision(precision, device)
    if precision == "float32":
        return model
    dtype = getattr(torch, precision)
    return _with_parts(model, CAST, lambda forward: _cast(forward, device, dtype))


def check_precision(precision: str, device: str) -> None:
    """Raise UserError for an unknown format, and for float16 on a CPU."""
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if precision == "float16" and device == "cpu":
        raise UserError("precision float16 is for GPUs; on a CPU use bfloat16 or float32")


def compiled(model: UniVS) -> UniVS:
    """A model whose backbone is compiled for each size of frame that it meets (`torch.compile`); the first frame waits
    for it. Trunks are not: squares of a closer look are now one, now several, and each number would be compiled."""
    import torch

    return _with_parts(model, ("backbone",), lambda forward: torch.compile(forward, dynamic=False))


def _with_parts(model: UniVS, names: tuple[str, ...], change: Callable[[Any], Any]) -> UniVS:
    """A copy of the model in which the forward calls of some parts, as far as it has them, are changed."""
    for name in names:
        model = _changed(model, name.split("."), change)
    return model


def _changed(module: Any, path: list[str], change: Callable[[Any], Any]) -> Any:
    """A copy with the forward call of the part at the end of a path changed, unless it is None; all else is shared."""
    copied = copy.copy(module)
    if not path:
        copied.forward = change(copied.forward)
        return copied
    part = getattr(module, path[0])
    if part is not None:
        copied._modules = dict(module._modules)
        copied._modules[path[0]] = _changed(part, path[1:], change)
    return copied


def _cast(forward: Callable[..., Any], device: str, dtype: torch.dtype) -> Callable[..., Any]:
    import torch

    def cast(*arguments: Any, **options: Any) -> Any:
        with torch.autocast(device, dtype):
            return _float32(forward(*arguments, **options))

    return cast


def _float32(value: Any) -> Any:
    """The same with every tensor of floating point numbers in float32."""
    from torch import Tensor

    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(_float32(one) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed: Any = {field.name: _float32(getattr(value, field.name)) for field in fields(value)}
        return replace(value, **changed)
    return value
