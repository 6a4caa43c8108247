"""The same image encoder with less memory traffic, for inference: batch norm and activation inside the convolutions.

A convolution with its batch norm is another convolution; TensorFlow's one-sided "same" padding of an even map is a
larger kernel with a border of zeros; and where torch's oneDNN operators are there, the activation is applied before the
result is written. Exact up to rounding.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from univs.models.efficientnet_lite import SameConv2d
from univs.models.univs import UniVS

ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""What may be applied inside: kind of module -> name and numbers of the operator."""


class FusedConvolution(nn.Module):
    """A convolution, its batch norm in eval mode and its activation, as one operator.

    Args:
        convolution: without padding or with symmetric or TensorFlow's "same" padding.
        norm: the batch norm behind it.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        fused = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        weight, bias = (parameter.detach() for parameter in fused)
        activation = getattr(norm, "act", nn.Identity())
        self._name, self._numbers = ACTIVATIONS[type(activation)]
        self._stride, self._dilation = list(convolution.stride), list(convolution.dilation)
        self._groups = convolution.groups
        self._same = isinstance(convolution, SameConv2d)
        if self._same:
            # even maps, stride 2: k - 2 cells are missing, (k - 3) / 2 before and one more behind
            weight = F.pad(weight, (1, 0, 1, 0))
        self._padding = (
            [(side - 1) // 2 for side in weight.shape[-2:]]
            if self._same
            else [int(side) for side in convolution.padding]
        )
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)

    @staticmethod
    def fits(convolution: nn.Module, norm: nn.Module) -> bool:
        """Whether the two modules can become one."""
        return (
            type(convolution) in (nn.Conv2d, SameConv2d)  # another's own kind may pad in its own way
            and isinstance(norm, nn.BatchNorm2d)
            and norm.num_features == convolution.out_channels
            and type(getattr(norm, "act", nn.Identity())) in ACTIVATIONS
            and convolution.padding_mode == "zeros"
            and (
                convolution.stride == (2, 2) and convolution.kernel_size[0] % 2 == 1 and convolution.dilation == (1, 1)
                if isinstance(convolution, SameConv2d)
                else not isinstance(convolution.padding, str)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F C' h' w'; h and w even where the padding is "same"."""
        if x.device.type == "cpu" and HAS_POINTWISE:
            return torch.ops.mkldnn._convolution_pointwise(
                x,
                self.weight,
                self.bias,
                self._padding,
                self._stride,
                self._dilation,
                self._groups,
                self._name,
                self._numbers,
                "",
            )
        out = F.conv2d(x, self.weight, self.bias, self._stride, self._padding, self._dilation, self._groups)
        if self._name == "relu":
            return out.relu_()
        return out.clamp_(*self._numbers) if self._numbers else out


def has_pointwise() -> bool:
    """Whether this torch has oneDNN's convolution with an activation inside."""
    try:
        one = torch.ones(1, 1, 1, 1)
        out = torch.ops.mkldnn._convolution_pointwise(
            one, one, torch.ones(1), [0, 0], [1, 1], [1, 1], 1, "hardtanh", [0.0, 1.5], ""
        )
    except (AttributeError, RuntimeError):
        return False
    return bool(torch.backends.mkldnn.is_available() and out.item() == 1.5)


HAS_POINTWISE = has_pointwise()


@torch.no_grad()
def for_inference(model: UniVS) -> UniVS:
    """A model that gives the same answers faster; it shares with the given one what cannot be made faster.

    Of their own are the weights of convolutions: those of the backbone and of the word head's trunk, fused, and, where
    the backbone is channels-last, those of pixel decoder and dense memory in that order. Later changes of the given
    model's weights do not reach these; `prepared` notices them.
    """
    fast = copy.copy(model)
    fast._modules = {**model._modules, "backbone": twin(model.backbone).eval()}
    if model.backbone.memory_format == torch.channels_last:
        for name in ("pixel_decoder", "dense_memory"):
            part = getattr(model, name)
            fast._modules[name] = part if part is None else reordered(twin(part), torch.channels_last)
    fused: list[nn.Module] = [fast.backbone]
    if model.word_head is not None and model.word_head.trunk is not None:
        words = copy.copy(model.word_head)
        trunk = reordered(twin(model.word_head.trunk).eval(), model.backbone.memory_format)
        words._modules = {**words._modules, "trunk": trunk}
        fast._modules["word_head"] = words
        fused.append(trunk)
    for parent in [module for part in fused for module in part.modules()]:
        children = list(parent.named_children())
        for (name, convolution), (norm_name, norm) in zip(children, children[1:], strict=False):
            if FusedConvolution.fits(convolution, norm):
                setattr(parent, name, FusedConvolution(convolution, norm))  # type: ignore[arg-type]
                setattr(parent, norm_name, nn.Identity())
    return fast


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
