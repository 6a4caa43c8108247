"""What the encoders of a space-time memory start with: maps of a frame at strides 4, 8 and 16.

Shapes: F frames, C channels, h w size of a map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from univs.models.backbone import SCALES, EfficientNetLite
from univs.models.resnet import ResNetStages, StillNorms

RESNET = "resnet50"
STRIDE = 16
"""Of the coarsest map."""


class LiteStages(StillNorms):
    """An EfficientNet-Lite up to stride 16 whose batch norms never leave their stored statistics.

    Args:
        name: one of `backbone.SCALES`.
        inputs: channels of an image.
    """

    def __init__(self, name: str, inputs: int = 3) -> None:
        super().__init__()
        self.body = EfficientNetLite(name, inputs=inputs, coarsest=STRIDE)
        self.body.to(memory_format=torch.channels_last)  # depthwise convolutions are several times faster so
        self.channels = self.body.channels
        self.train(self.training)

    def forward(self, images: Tensor) -> list[Tensor]:
        """F C H W -> maps F C_i h w at strides 4, 8, 16."""
        return self.body(images.contiguous(memory_format=torch.channels_last))


def make_trunk(name: str, inputs: int = 3, *, bias: bool = False) -> LiteStages | ResNetStages:
    """The trunk of a name. bias: of every convolution, which a ResNet alone may have.

    Raises ValueError for an unknown name, and for biases elsewhere.
    """
    if name == RESNET:
        return ResNetStages(inputs, bias=bias)
    if name not in SCALES:
        raise ValueError(f"unknown trunk {name!r}: one of {', '.join((RESNET, *SCALES))}")
    if bias:
        raise ValueError(f"the convolutions of {name} have no biases; memory_bias must be false")
    return LiteStages(name, inputs)
