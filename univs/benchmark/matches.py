"""The TK-loss of training from boxes: `univs benchmark matches`.

One clip at a quarter of its size, by default 5 frames of 480x864, with the released search of 9 places and the dense
one of the paper within 5 cells: seconds to find the matches (once for a step) and to compare masks at them, gradients
included, and the memory that both take. Each row is measured in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from univs.benchmark.memory import peak_bytes, resident_bytes
from univs.commands.argument_types import Parser, read_size
from univs.devices import choose_device
from univs.errors import UserError
from univs.terminal import plain_console, plain_table

STRIDE = 4
SEARCHES = {"9 places, radius 3": (3, 3), "dense, radius 5": (5, 1)}
"""Row of the table -> radius and step of the search."""


@dataclass(frozen=True)
class Cost:
    """Seconds to find matches, and to compare masks at them; bytes at most, above what there was before."""

    search: float
    comparison: float
    peak: int


@dataclass(frozen=True)
class Clip:
    """frames of height x width pixels; masks that are compared on them; where; CPU threads (None: torch's choice)."""

    frames: int
    height: int
    width: int
    masks: int
    device: str
    threads: int | None


def measure(clip: Clip, radius: int, step: int) -> Cost:
    """What one search and one comparison with its gradients cost."""
    import torch

    from univs.losses import PatchSearch, find_matches, pooled_lab, temporal_terms

    if clip.threads is not None:
        torch.set_num_threads(clip.threads)
    device, generator = torch.device(clip.device), torch.Generator().manual_seed(0)
    size = clip.height // STRIDE, clip.width // STRIDE
    frames = torch.randint(0, 256, (clip.frames, 3, clip.height, clip.width), dtype=torch.uint8, generator=generator)
    colours = pooled_lab(frames.to(device), STRIDE)[None]
    logits = torch.randn(clip.masks, clip.frames, *size, generator=generator).to(device).requires_grad_()
    clips = torch.zeros(clip.masks, dtype=torch.long, device=device)
    boxes = torch.ones(clip.masks, *size, device=device)
    search = PatchSearch(radius=radius, step=step)

    def run(cells: slice) -> tuple[float, float]:
        """Seconds of both parts on so many columns of the frames."""
        start = time.perf_counter()
        matches = find_matches(colours[..., cells], search)
        _wait(device)
        found = time.perf_counter()
        sums, weights = temporal_terms(logits[..., cells], clips, boxes[..., cells], matches)
        (sums.sum(0) / weights.sum(0).clamp_min(1)).sum().backward()
        _wait(device)
        return found - start, time.perf_counter() - found

    run(slice(0, 16))  # what is made once for the process
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        seconds = run(slice(None))
        return Cost(*seconds, torch.cuda.max_memory_allocated(device) - before)
    before = resident_bytes()
    seconds = run(slice(None))
    return Cost(*seconds, max(0, peak_bytes() - before))


def _wait(device: object) -> None:
    """Until a GPU has done what it was told."""
    import torch

    if isinstance(device, torch.device) and device.type == "cuda":
        torch.cuda.synchronize(device)


def apart(clip: Clip, radius: int, step: int) -> Cost:
    """`measure` in a process of its own, so that its memory is that of the row alone."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, clip, radius, step).result()


def main(argv: Sequence[str]) -> int:
    """Print the table. Raises UserError for options that cannot be used."""
    parser = Parser("univs benchmark matches", description=__doc__)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--size", default="480x864", metavar="HxW", help="pixels of a frame (default: 480x864)")
    parser.add_argument("--masks", type=int, default=10, help="masks that are compared on it (default: 10)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, help="CPU threads; left out: torch's own choice")
    options = parser.parse_args(argv)
    height, width = read_size(options.size)
    if min(height, width) < STRIDE:
        raise UserError(f"--size {options.size}: a side has {STRIDE} pixels or more")
    if min(options.masks, options.threads or 1) < 1 or options.frames < 2:
        raise UserError("--masks and --threads must be at least 1, --frames at least 2")
    device = choose_device(options.device)
    clip = Clip(options.frames, height, width, options.masks, device, options.threads)
    cells = f"{clip.height // STRIDE}x{clip.width // STRIDE}"
    title = f"TK-loss: {clip.frames} frames of {cells} cells, {clip.masks} masks, {device}"
    table = plain_table(title, "", "ms, search", "ms, comparison with gradients", "peak MiB", title_justify="left")
    for name, (radius, step) in SEARCHES.items():
        cost = apart(clip, radius, step)
        seconds = (f"{1000 * part:.0f}" for part in (cost.search, cost.comparison))
        table.add_row(name, *seconds, f"{cost.peak / 2**20:.0f}")
    plain_console().print(table)
    return 0
