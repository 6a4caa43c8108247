"""`univs export`: a network as ONNX, for programs without Python or torch."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from univs.claim import check_file
from univs.commands.argument_types import a_path
from univs.errors import UserError
from univs.files import atomic_path
from univs.settings import LARGEST_SIDE

if TYPE_CHECKING:
    from torch import Tensor

    from univs.models.portrait import PortraitNet

PACKAGES = ("onnx", "onnxscript")
OPSET = 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `univs export` takes."""
    parser.add_argument("weights", metavar="NAME|PATH", help="weights of a portrait net: portrait, or a file")
    parser.add_argument("out", type=a_path, metavar="FILE.onnx", help="file to write")
    parser.add_argument(
        "--height", type=int, default=160, help="of the frames, pixels, a multiple of 32 (default: 160)"
    )
    parser.add_argument("--width", type=int, default=288, help="likewise (default: 288)")


def run_export(arguments: argparse.Namespace) -> None:
    """Write the file. Raises UserError for weights of other models, sides that cannot be, and without the packages."""
    from univs.models.portrait import PortraitNet
    from univs.models.zoo import load

    check_out(arguments.out)
    model = load(arguments.weights)
    if not isinstance(model, PortraitNet):
        raise UserError(f"{arguments.weights} holds a {model.config['name']}; of portrait nets alone ONNX can be made")
    export_portrait(model, arguments.out, arguments.height, arguments.width)
    size = f"{arguments.height} {arguments.width}"
    print(
        f"{arguments.out}: frame 1 3 {size} uint8 RGB, before 1 1 {size} float32 -> people 1 1 {size} float32, which "
        "is the next before"
    )


def check_out(out: Path) -> None:
    """Raise UserError for what is no .onnx file, such as the weights themselves, or cannot be written."""
    if out.suffix.lower() != ".onnx" or out.is_dir():
        raise UserError(f"{out} is no name of an ONNX file; give one such as {out.stem or 'portrait'}.onnx")
    check_file(out, "FILE.onnx")


def export_portrait(model: PortraitNet, path: Path, height: int, width: int) -> None:
    """Write a portrait net as ONNX.

    Inputs: `frame` 1 3 H W uint8 RGB, `before` 1 1 H W float32 probabilities of the frame before (0 on the first).
    Output: `people` 1 1 H W float32 probabilities. Raises UserError as `run_export` does, OSError for a file that
    cannot be written.
    """
    import torch
    from torch import nn

    from univs.models.portrait import MULTIPLE

    if any(side % MULTIPLE or not MULTIPLE <= side <= LARGEST_SIDE for side in (height, width)):
        raise UserError(
            f"--height {height} --width {width}: the portrait net takes multiples of {MULTIPLE} up to {LARGEST_SIDE}"
        )
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"ONNX needs {' and '.join(missing)}: pip install univs[export]")

    class People(nn.Module):
        """Probabilities in place of log-odds."""

        def __init__(self, net: PortraitNet) -> None:
            super().__init__()
            self.net = net

        def forward(self, frame: Tensor, before: Tensor) -> Tensor:
            return torch.sigmoid(self.net(frame, before))

    example = torch.zeros(1, 3, height, width, dtype=torch.uint8), torch.zeros(1, 1, height, width)
    device = model.pixel_mean.device
    noisy = logging.getLogger("torch.onnx"), logging.getLogger("onnxscript"), logging.getLogger("onnx_ir")
    levels = [logger.level for logger in noisy]
    try:
        for logger in noisy:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), atomic_path(path) as temporary:
            warnings.simplefilter("ignore")  # of the exporter's own parts
            torch.onnx.export(
                People(model.ready("float32", False)).eval(),
                tuple(given.to(device) for given in example),
                str(temporary),
                input_names=["frame", "before"],
                output_names=["people"],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
