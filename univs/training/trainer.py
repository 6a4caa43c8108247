"""The trainer: plain torch, one process or several (torchrun), resumable at any moment.

A step is a callable from (batch, kept share) to named losses; the stages differ in data and numbers only. What it draws
by torch's generator depends on the seed of the run (torch's at the start) and the number of the step alone, so that a
resumed run is to the bit what it would have been without the stop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from univs.errors import UserError
from univs.settings import Count, CountFromZero, Positive, Share, Weight, Within
from univs.training.checkpoint import check_origin, load_checkpoint, save_checkpoint
from univs.training.ema import WeightAverage
from univs.training.interruption import Interruption
from univs.training.precision import choose_precision
from univs.training.report import Report
from univs.training.running_clock import RunningClock
from univs.training.schedule import Budget, kept_share, learning_rate_factor


@dataclass(frozen=True)
class TrainerOptions:
    """Numbers of a run; see configs/stage/clip.yaml."""

    budget: Budget
    learning_rate: Positive
    backbone_factor: Weight
    final_factor: Share
    warmup: CountFromZero
    weight_decay: Weight
    clip_norm: Positive
    ema_decay: Share
    kept_share: Annotated[float, Within(0, 1, above=True)]
    kept_share_start: Annotated[float, Within(0, 1, above=True)]
    precision: Literal["auto", "float32", "bfloat16"]
    save_minutes: Weight
    accumulate: Count = 1
    """So many batches make one step: the mean of their gradients, which is that of one larger batch but for losses that
    are means over objects (each batch has its own number of them)."""
    dropped_at: Share | None = None
    """Share of the run from which learning rates are `final_factor` of what they were; None: a cosine leads there."""
    kept_begins: Share = 0.0
    """Share of the run until which `kept_share_start` of the pixels counts; from there it falls in a line."""
    kept_reached: Share = 0.6
    """Share of the run at which `kept_share` of them counts."""
    pictures: Weight = 0.0
    """Pictures are drawn every so many steps, or minutes where the budget is in minutes; 0: never."""


class _Forward(nn.Module):
    """The step as a module, so that DistributedDataParallel sees one forward call."""

    def __init__(self, model: nn.Module, step: Callable[[dict[str, Any], float], dict[str, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self.step = step

    def forward(self, batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        return self.step(batch, kept)


class Trainer:
    """Runs a step over batches until the budget is spent.

    Args:
        model: trained in place; its `BACKBONES` get the smaller learning rate.
        step: (batch, kept share) -> weighted losses by name. In the batch `step` is the number of steps taken before.
        batches: start position (batches already taken) -> endless generator of batches, so that a resumed run goes on
            with fresh data. It is closed in the end.
        options: see `TrainerOptions`.
        out: folder of `last.pt`, the curves and `log.jsonl`.
        draw: draws pictures of a step; None: nothing is drawn.
        origin: what else must be as it was for a run to be gone on with, by the names of its settings.
    """

    def __init__(
        self,
        model: nn.Module,
        step: Callable[[dict[str, Any], float], dict[str, Tensor]],
        batches: Callable[[int], Generator[dict[str, Any], None, None]],
        options: TrainerOptions,
        out: Path,
        device: torch.device,
        draw: Callable[[int], None] | None = None,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        self.model, self.batches, self.options, self.out, self.device = model, batches, options, out, device
        self.draw, self.origin = draw, dict(origin or {})
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        forward: nn.Module = _Forward(model, step)
        if self.world > 1:
            forward = nn.parallel.DistributedDataParallel(forward, find_unused_parameters=True)
        self.forward = forward
        groups = parameter_groups(model, options)
        if not groups:
            raise UserError("no part of the model is trained; stage.trained names the beginnings of its parts")
        self.optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
        self.average = WeightAverage(model, options.ema_decay)
        self.step_number = 0
        self.seconds = 0.0
        """Time spent training, of earlier parts of the run too; not the time in which it was suspended."""
        self.clock = RunningClock()
        self.whole = True
        """Whether weights, moments, average and number of the step belong together."""
        self._statistics = Statistics(model)
        self.stopped = False
        """Whether the run was asked to stop before its budget was spent."""
        self.seed = torch.initial_seed()
        self.interruption = Interruption(at_once=self.world == 1)
        self.precision, self._why = choose_precision(options.precision, device)
        self._resume(out / "last.pt")

    def _resume(self, path: Path) -> None:
        """Go on from `path` where it exists. Raises UserError where it belongs to another model or stage."""
        state = load_checkpoint(path)
        if state is None:
            return
        check_origin(path, state, self.origin)
        try:
            self.model.load_state_dict(state["model"])
            asked = [{name: group[name] for name in SETTINGS} for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(state["optimizer"])
            for group, settings in zip(self.optimizer.param_groups, asked, strict=True):
                group |= settings  # rates and decay are those that are asked for now
            self.average.load_state_dict(state["average"])
            self.step_number, self.seconds = int(state["step"]), float(state["seconds"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"nothing for {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
            raise UserError(
                f"{path} is of another model, other trained parts or another version ({why}); choose another out="
            ) from error

    def progress(self) -> float:
        """Share of the budget that is spent, the same in all processes.

        Raises KeyboardInterrupt in all of them after the same step where any was told to stop.
        """
        share = self.progress_here()
        if self.world > 1:
            told = torch.tensor([0.0 if self.rank else share, float(self.interruption.asked)], device=self.device)
            torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)  # the first one's share, anyone's wish
            share = float(told[0])
            if told[1] > 0:
                raise KeyboardInterrupt
        return share

    def progress_here(self) -> float:
        """Share of the budget that is spent, by the clock of this process."""
        return self.options.budget.progress(self.step_number, self.seconds)

    def run(self) -> None:
        """Train until the budget is spent; Ctrl-C or SIGTERM saves and stops."""
        self.model.train()
        report = None  # the first process speaks for all
        if self.rank == 0:
            report = Report(self.out, self.options.budget, f"{self.precision}: {self._why}")
            if self.step_number:
                left = "" if self.progress_here() < 1 else ", and its budget is spent: nothing is left to train"
                report.say(f"goes on from step {self.step_number} of {self.out / 'last.pt'}{left}")
        batches = self.batches(self.step_number * self.options.accumulate)
        with self.interruption, self.clock, closing(batches):
            try:
                self._train(batches, report)
            except KeyboardInterrupt:
                self.stopped = True
                if report is not None:
                    report.close()
                    report.say("stopped; the same command goes on from here")
            finally:
                self.interruption.hold()
                if report is not None:
                    report.close()
                self._statistics.put_back()
                if self.rank == 0 and self.whole:
                    self.save()

    def _train(self, batches: Generator[dict[str, Any], None, None], report: Report | None) -> None:
        saved, progress, waited, spent = self.clock(), self.progress(), 0.0, 0.0
        drawn = self._pictures()
        while progress < 1:
            begun = self.clock()
            with self.interruption.held():  # a process of the loader whose batch is not taken would complain
                parts = [next(batches) for _ in range(self.options.accumulate)]
                self._statistics.keep()
            waited += self.clock() - begun
            values = self.gradients(parts, progress)
            with self.interruption.held():
                self.whole = False
                self.update(values["gradient_norm"])
                self.seconds += self.clock() - begun
                self.step_number += 1
                self.whole = True
            spent += self.clock() - begun
            progress = self.progress()
            if report is not None:
                report.step(self.step_number, self.seconds, progress, values, waited / spent)
                if self.draw is not None and self._pictures() > drawn:
                    drawn = self._pictures()
                    with self.interruption.held():
                        self.draw(self.step_number)
                if self.clock() - saved > 60 * self.options.save_minutes:
                    saved = self.clock()
                    with self.interruption.held():
                        self.save()

    def _pictures(self) -> int:
        """How many there should be by now."""
        every, by_steps = self.options.pictures, self.options.budget.steps is not None
        return int((self.step_number if by_steps else self.seconds / 60) / every) if every else 0

    def gradients(self, parts: Sequence[dict[str, Any]], progress: float) -> dict[str, Tensor]:
        """Leave the gradients of the next step, clipped; the losses (their means over the parts) and `gradient_norm`.

        Args:
            parts: the batches of the step.
            progress: share of the run that is done.
        """
        options = self.options
        rate = options.warmup, options.final_factor, options.dropped_at
        factor = learning_rate_factor(self.step_number, progress, *rate)
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * group["factor"] * factor
        kept = kept_share(
            progress,
            options.kept_share,
            start=options.kept_share_start,
            begins=options.kept_begins,
            reached=options.kept_reached,
        )
        torch.manual_seed(int(np.random.SeedSequence([self.seed, self.step_number]).generate_state(1)[0]))
        self.optimizer.zero_grad(set_to_none=True)
        found = []
        for number, batch in enumerate(parts, 1):
            with self._alone() if number < len(parts) else nullcontext():
                losses = self.losses({**batch, "step": self.step_number}, kept)
                self.backward(torch.stack(list(losses.values())).sum() / len(parts))
            found.append({name: value.detach() for name, value in losses.items()})
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        means = {name: torch.stack([each[name] for each in found]).mean() for name in found[0]}
        return {**means, "gradient_norm": norm}

    def _alone(self) -> AbstractContextManager[None]:
        """Gradients are added up in this process; the processes' mean is taken once, of the sum."""
        return self.forward.no_sync() if self.world > 1 else nullcontext()  # type: ignore[operator]

    def losses(self, batch: dict[str, Any], kept: float) -> dict[str, Tensor]:
        """The forward pass, in the number format of the run."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            losses: dict[str, Tensor] = self.forward(_moved(batch, self.device), kept)
        return losses

    def backward(self, total: Tensor) -> None:
        """Add the gradients of a batch."""
        total.backward()

    def update(self, norm: Tensor) -> None:
        """Take the step; one with an overflow is left out, with what batch norms gathered in it."""
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
            self.average.update(self.model)
            self._statistics.forget()
        else:
            self._statistics.put_back()

    def save(self) -> None:
        """Write `last.pt`."""
        state: dict[str, Any] = {
            "step": self.step_number,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "origin": self.origin,
        }
        save_checkpoint(self.out / "last.pt", state)


class Statistics:
    """What the batch norms of a model gather in a forward pass: a step that is not finished leaves them as they were.

    Those that are in eval mode, or gather nothing, are not looked at.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._kept: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def keep(self) -> None:
        """A step begins."""
        self._kept = [
            (buffer, buffer.clone())
            for module in self._model.modules()
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.training
            for buffer in module.buffers(recurse=False)
        ]

    def forget(self) -> None:
        """The step is done."""
        self._kept = []

    @torch.no_grad()
    def put_back(self) -> None:
        """Undo what a step that was not finished did."""
        for buffer, before in self._kept:
            buffer.copy_(before)
        self.forget()


def _moved(value: Any, device: torch.device) -> Any:
    """Tensors of a batch go to the device, also those in dicts; whatever else it holds stays."""
    if isinstance(value, dict):
        return {name: _moved(inner, device) for name, inner in value.items()}
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


BACKBONES = (
    "backbone.",
    "word_head.trunk.",
    "mask_refiner.trunk.",
    "query_trunk.",
    "memory_trunk.",
    "trunk.",
    "features.backbone.",
)
"""Beginnings of the names of what is trained at `backbone_factor` of the rate."""
SETTINGS = ("factor", "weight_decay")
"""Of a group of parameters: what a run that goes on may change."""


def parameter_groups(model: nn.Module, options: TrainerOptions) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate and weight decay (none on vectors: norms, biases, embeddings)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            own = name.rpartition(".")[2]  # not that of a part: an MLP that makes embeddings decays, as a query trunk
            plain = parameter.dim() > 1 and "embed" not in own and "query" not in own
            groups.setdefault((name.startswith(BACKBONES), plain), []).append(parameter)
    factors = {True: options.backbone_factor, False: 1.0}
    return [
        {"params": parameters, "factor": factors[slow], **({} if plain else {"weight_decay": 0.0})}
        for (slow, plain), parameters in groups.items()
    ]
