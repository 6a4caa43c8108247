"""What a run would do, before it does it: `univs train ... dry_run=true`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import nn

from univs.data.source_settings import SourceCount
from univs.terminal import plain_console, plain_table
from univs.training.checkpoint import load_checkpoint
from univs.training.precision import choose_precision
from univs.training.trainer import TrainerOptions, parameter_groups


def print_plan(
    settings: Mapping[str, Any], model: nn.Module, data: Any, options: TrainerOptions, device: torch.device, world: int
) -> None:
    """Print a run as tables and lines: what is trained, with what, how long, and where it goes. Nothing is written.

    Args:
        settings: of the run, checked.
        model: with the weights that stay frozen.
        data: `TrainingClips` or `WordImages`.
        world: processes that train together.
    Raises UserError for a checkpoint that cannot be gone on from.
    """
    console = plain_console()
    console.print(parts_table(settings["model"]["name"], model))
    console.print(sources_table(data.counts, getattr(data, "shares", {"photo": 1.0})))
    console.print(rates_table(model, options))
    for line in (*run_lines(settings, options, device, world), memory_line(model), *place_lines(settings)):
        console.print(line, soft_wrap=True)


def parts_table(name: str, model: nn.Module) -> Table:
    """Parameters of each part, trained and frozen."""
    table = plain_table(f"model {name}: parameters", "part", "trained", "frozen")
    for part, module in model.named_children():
        table.add_row(part, *_split(module.parameters()))
    table.add_section()
    table.add_row("all", *_split(model.parameters()))
    return table


def _split(parameters: Iterable[nn.Parameter]) -> tuple[str, str]:
    """Numbers of those that are trained, and of the others."""
    given = list(parameters)
    return tuple(f"{sum(p.numel() for p in given if p.requires_grad is wanted):,}" for wanted in (True, False))  # type: ignore[return-value]


def sources_table(counts: Sequence[SourceCount], shares: Mapping[str, float]) -> Table:
    """What each source holds, and its share of what is drawn; shares: of the sorts."""
    table = plain_table("data", "source", "photos", "videos", "share")
    total = sum(shares.values())
    for count in counts:
        weights = sum(other.weight for other in counts if other.sort == count.sort)
        share = shares.get(count.sort, 0.0) / total * count.weight / weights if weights else 0.0
        numbers = (f"{count.count:,}", "") if count.sort == "photo" else ("", f"{count.count:,}")
        table.add_row(count.name, *numbers, f"{share:.1%}")
    for name in shares.keys() - {count.sort for count in counts}:
        table.add_row(name, "", "endless", f"{shares[name] / total:.1%}")
    return table


def rates_table(model: nn.Module, options: TrainerOptions) -> Table:
    """Learning rates and weight decays, each with how many parameters have it."""
    table = plain_table("optimizer: AdamW", "learning rate", "weight decay", "parameters")
    for group in parameter_groups(model, options):
        decay = group.get("weight_decay", options.weight_decay)
        count = sum(parameter.numel() for parameter in group["params"])
        table.add_row(f"{options.learning_rate * group['factor']:g}", f"{decay:g}", f"{count:,}")
    return table


def run_lines(
    settings: Mapping[str, Any], options: TrainerOptions, device: torch.device, world: int
) -> tuple[str, str, str]:
    """How long it lasts, what a step takes, and on what it runs."""
    stage, budget = settings["stage"], options.budget
    length = f"{budget.steps} steps" if budget.steps is not None else f"{budget.minutes:g} minutes of training time"
    size, accumulate = stage["batch_size"], options.accumulate
    what = f"{stage['frames']} frames" if "frames" in stage else "1 image"
    factors = [str(size), *([f"{accumulate} accumulated"] if accumulate > 1 else [])]
    factors += [f"{world} processes"] if world > 1 else []
    product = f" ({' x '.join(factors)})" if len(factors) > 1 else ""
    precision, why = choose_precision(options.precision, device)
    drop = "" if options.dropped_at is None else f", at once after {options.dropped_at:.1%} of the run"
    return (
        f"length: {length}, {options.warmup} steps of warm-up, then down to {options.final_factor:g} of each rate"
        + drop,
        f"a step: {size * accumulate * world} samples{product} of {what}, {crop_words(stage['size'])} pixels",
        f"on: {device}, {precision}: {why}",
    )


def crop_words(size: int | Sequence[int]) -> str:
    """Sides of a training crop: "256 x 256", or of one of several that are drawn."""
    return " or ".join(f"{side} x {side}" for side in ([size] if isinstance(size, int) else size))


def memory_line(model: nn.Module) -> str:
    """What parameters, averages and optimizer take, without what a step needs besides."""
    held = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    sizes = {"parameters": held, "averages": held, "gradients": trained, "moments of the optimizer": 2 * trained}
    words = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in sizes.items())
    return f"memory: {sum(sizes.values()) / 2**20:.0f} MiB ({words}), and what a step keeps for its gradients"


def place_lines(settings: Mapping[str, Any]) -> tuple[str, str]:
    """Where it starts and what it writes."""
    folder, name = Path(settings["out"]), settings["model"]["name"]
    state = load_checkpoint(folder / "last.pt")
    start = settings["init"] or "random weights"
    if state is not None:
        start = f"step {state['step']} of {folder / 'last.pt'}"
    return (
        f"starts from: {start}",
        f"would write: last.pt, log.jsonl, curves/ and {name}.safetensors in {folder}",
    )
