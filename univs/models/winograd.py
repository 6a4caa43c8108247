"""3 x 3 convolutions with a quarter of the multiplications, for the CPU: Winograd's F(4 x 4, 3 x 3).

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4. A tile of 4 x 4
results is made from 6 x 6 values by 36 products, each of which is a matrix product over all channels; before and after
stand fixed matrices. Results differ from the plain convolution by about 1e-5 of the largest.

Shapes: F frames, C channels in, D out, h w size of a map, w' of the padded one, R rows of tiles, T tiles in them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE = 4
SEEN = TILE + 2
"""A tile, and the values that it is made from, on a side."""
TILES_AT_ONCE = 324
"""Tiles whose values pass together: about what stays in the processor's cache at 256 channels."""
FEWEST_CHANNELS = 128
"""Below that the fixed matrices take more than they save."""

INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)


class WinogradConvolution(nn.Module):
    """What a convolution of 3 x 3, stride 1, padded by 1 gives, for inference in float32."""

    kernel: Tensor
    bias: Tensor | None
    inner: Tensor
    outer: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight = convolution.weight.detach().double().flatten(2)  # D C 9
        moved = torch.einsum("sk,dck->scd", torch.kron(KERNEL, KERNEL), weight)
        self.register_buffer("kernel", moved.float().contiguous())  # 36 C D
        self.register_buffer("bias", None if convolution.bias is None else convolution.bias.detach())
        self.register_buffer("inner", torch.kron(INPUT, INPUT).float())
        self.register_buffer("outer", torch.kron(OUTPUT, OUTPUT).float())

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Whether a module can become one and gains by it."""
        return (
            type(module) is nn.Conv2d
            and module.kernel_size == (3, 3)
            and module.stride == module.dilation == (1, 1)
            and module.padding == (1, 1)
            and module.padding_mode == "zeros"
            and module.groups == 1
            and module.in_channels >= FEWEST_CHANNELS
            and module.out_channels >= FEWEST_CHANNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        """F C h w -> F D h w, both best in channels-last order."""
        height, width = x.shape[-2:]
        down, across = -(-height // TILE), -(-width // TILE)
        last = x.permute(0, 2, 3, 1)  # F h w C
        padded = F.pad(last, (0, 0, 1, TILE * across + 1 - width, 1, TILE * down + 1 - height)).contiguous()
        out = x.new_empty(len(x), down * TILE, across * TILE, self.kernel.shape[2])
        rows = max(1, TILES_AT_ONCE // across)
        for frame, answer in zip(padded, out, strict=True):
            for top in range(0, down * TILE, rows * TILE):
                strip = answer[top : top + rows * TILE]
                self._strip(frame[top : top + rows * TILE + 2], strip.unflatten(0, (-1, TILE)).unflatten(2, (-1, TILE)))
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def _strip(self, x: Tensor, out: Tensor) -> None:
        """4R+2 w' C, padded -> into R 4 w'/4 4 D."""
        rows, across = out.shape[0], out.shape[2]
        line, column, channel = x.stride()
        size = (SEEN, SEEN, rows, across, x.shape[2])
        tiles = x.as_strided(size, (line, column, TILE * line, TILE * column, channel), x.storage_offset())
        seen = self.inner @ tiles.reshape(SEEN * SEEN, -1)  # 36 T*C
        made = torch.bmm(seen.view(SEEN * SEEN, rows * across, -1), self.kernel)  # 36 T D
        answers = (self.outer @ made.flatten(1)).view(TILE, TILE, rows, across, -1)
        if self.bias is not None:
            answers += self.bias
        out.copy_(answers.permute(2, 0, 3, 1, 4))


def use_winograd(part: nn.Module) -> None:
    """Put fast convolutions where they gain; the part is changed in place."""
    for parent in list(part.modules()):
        for name, module in parent.named_children():
            if WinogradConvolution.fits(module):
                setattr(parent, name, WinogradConvolution(module))  # type: ignore[arg-type]
