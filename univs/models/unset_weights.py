"""Networks whose weights are about to be read from a file need no initial ones: drawing takes longer than reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

DRAWS = frozenset((Tensor.uniform_, Tensor.normal_))
"""What `torch.nn.init` draws random weights with, where it does not hand the whole call over."""


class UnsetWeights(TorchFunctionMode):
    """While it is entered, what would be drawn at random is 0, or stays as the memory was: for weights that are all
    given later.

    Constants, such as places of cells, are made as ever.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The call itself, or the tensor that it would have filled."""
        given = kwargs or {}
        if func in DRAWS:
            return args[0].zero_()  # trunc_normal_ draws again until all lies within its bounds: whatever is there must
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)
