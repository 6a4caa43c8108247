"""`univs extract`: what the model makes of a video, for whatever comes after: feature maps and object tokens.

Clips do not overlap (T of the model, the last one perhaps shorter) and no prompts are given: learnable queries alone.
Shapes: T frames, C channels, Q queries, H W pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from univs.errors import UserError
from univs.files import atomic_path
from univs.terminal import counted, plain_console
from univs.video import VideoReader
from univs.video.reader import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from univs.models.univs import UniVS

FEATURE_STRIDE = 32
"""Pixels of the frame to a cell of the feature maps."""


def extract_to_folder(model: UniVS, reader: VideoReader, folder: Path, *, size: int = 0) -> int:
    """Write FOLDER/00000.safetensors ... with `features` C H/32 W/32 and `tokens` Q C (before the decoder norm).

    Args:
        size: short side in pixels at which the model looks at the frames; 0: as they are.
    Returns:
        the number of frames. What an earlier run left in the folder goes with the first of them. Raises UserError for a
        frame that cannot be read or would replace a file of others, OSError for a folder that cannot be written; what
        is done by then stays, and every file is whole.
    """
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    refuse_foreign(folder, None if reader.announced else reader.num_frames)
    length = int(model.config.get("streaming", {}).get("clip_length", 1))
    frames = counted(reader, reader.name, reader.num_frames, plain_console(stderr=True))
    count = 0
    while clip := list(islice(frames, length)):
        for features, tokens in extract(model, clip, size):
            if count == 0:
                remove_earlier(folder)
            with atomic_path(folder / f"{count:05d}.safetensors") as temporary:
                temporary.write_bytes(save({"features": features, "tokens": tokens}))
            count += 1
    return count


def remove_earlier(folder: Path) -> None:
    """Delete the files of frames in a folder that hold what an earlier run wrote."""
    for path in folder.glob(".[0-9]*.tmp.safetensors"):  # of a run that was killed (`atomic_path`)
        path.unlink()
    for path in folder.glob("[0-9]*.safetensors"):
        if path.stem.isdigit() and _is_ours(path):
            path.unlink()


def refuse_foreign(folder: Path, frames: int | None) -> None:
    """Raises UserError if one of so many frames (None: not known) would replace a file that no run wrote."""
    for path in sorted(folder.glob("[0-9]*.safetensors")):
        frame = int(path.stem) if path.stem.isdecimal() else -1
        replaced = path.stem == f"{frame:05d}" and (frames is None or frame < frames)
        if replaced and not _is_ours(path):
            raise UserError(f"{path} is not of an earlier run and would be replaced; name another --out")


def _is_ours(path: Path) -> bool:
    """Whether a file holds what is written of a frame."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return sorted(file.keys()) == ["features", "tokens"]
    except (SafetensorError, OSError):
        return False


def extract(model: UniVS, clip: Sequence[Frame], size: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Feature map C H/32 W/32 and tokens Q C of each of the T frames of a clip, on the CPU."""
    import torch

    from univs.masks.geometry import Geometry
    from univs.models.features import DecodeRequest

    height, width = clip[0].shape[:2]
    geometry = Geometry.fit(height, width, size or None)
    with torch.inference_mode():
        device = model.pixel_mean.device
        images = torch.cat([geometry.shrink_frame(frame) for frame in clip]).to(device)
        features = model.encode_image(model.normalize(images))
        prediction = model.decode(features, DecodeRequest(learnable=True, clip_length=len(clip)))
        assert prediction.queries is not None
        shown = (geometry.input_height, geometry.input_width)
        maps = pick_cells(features.mask_features, shown, (height // FEATURE_STRIDE, width // FEATURE_STRIDE))
        for t in range(len(clip)):
            yield maps[t].cpu().contiguous(), prediction.queries[0, :, t].cpu().contiguous()


def pick_cells(maps: Tensor, shown: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Maps enlarged bilinearly to the padded input, cut to the frame, and shrunk to the nearest of its pixels.

    Args:
        maps: T C h w, a quarter of the padded input.
        shown: height and width of the frame in the padded input, pixels.
        size: h' w' of the result, at least 1 each.
    Returns:
        T C h' w'. Only the pixels that are asked for are made.
    """
    import torch
    import torch.nn.functional as F

    places = []
    for whole, part, cells in zip(shown, size, maps.shape[-2:], strict=True):
        part = max(1, part)
        pixel = (torch.arange(part, device=maps.device) * (whole / part)).floor()
        places.append((pixel + 0.5) / (4 * cells) * 2 - 1)
    y, x = torch.meshgrid(*places, indexing="ij")
    grid = torch.stack([x, y], -1)[None].expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=False)
