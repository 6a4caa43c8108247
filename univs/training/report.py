"""What a run says on its way: a bar on a terminal, else a line from time to time; curves and log.jsonl in any case."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from rich.progress import Progress
from torch import Tensor

from univs.terminal import plain_console, progress_bar
from univs.training.schedule import Budget


class Report:
    """Tells of the steps of a run.

    Args:
        out: folder of log.jsonl and curves/ (tensorboard).
        budget: the whole of the run.
        first: said with the first step.
    """

    LOG_SECONDS = 10.0
    BAR_SECONDS = 0.2

    def __init__(self, out: Path, budget: Budget, first: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.console = plain_console(stderr=True)
        self._out, self._budget, self._first = out, budget, first
        self._curves = SummaryWriter(str(out / "curves"))
        self._bar: Progress | None = None
        self._logged, self._drawn = 0.0, 0.0

    def step(
        self, number: int, seconds: float, progress: float, found: Mapping[str, Tensor], data_share: float
    ) -> None:
        """A step was done.

        Args:
            number: of steps done. seconds: spent training. progress: share of the run that is done.
            found: losses and `gradient_norm`.
            data_share: share of the time that was spent waiting for data.
        """
        now = time.monotonic()
        if self._first:
            self.console.print(self._first)
            self._first = ""
            if self.console.is_terminal:
                self._bar = progress_bar(self.console, transient=False)
                self._bar.add_task("", total=self._budget.steps or self._budget.minutes)
                self._bar.start()
        if self._bar is not None and (now - self._drawn > self.BAR_SECONDS or progress >= 1):
            self._drawn = now
            loss = sum(float(value) for name, value in found.items() if name != "gradient_norm")
            words = f"step {number}, loss {loss:.3f}, {seconds / max(1, number):.2f} s a step"
            done = number if self._budget.steps is not None else seconds / 60
            self._bar.update(self._bar.task_ids[0], description=words, completed=done)
        if now - self._logged > self.LOG_SECONDS or progress >= 1:
            self._logged = now
            self._log(number, seconds, progress, {**{n: float(v) for n, v in found.items()}, "data_share": data_share})

    def _log(self, number: int, seconds: float, progress: float, values: Mapping[str, float]) -> None:
        if self._bar is None:
            words = " ".join(f"{name} {value:.3f}" for name, value in values.items())
            left = (seconds / 60) * (1 / max(progress, 1e-6) - 1)
            speed = seconds / max(1, number)
            self.console.print(f"step {number} ({progress:.1%}, {speed:.2f} s a step, {left:.0f} min left): {words}")
        for name, value in values.items():
            self._curves.add_scalar(name, value, number)
        with (self._out / "log.jsonl").open("a") as log:
            log.write(json.dumps({"step": number, "minutes": seconds / 60, **values}) + "\n")

    def say(self, words: str) -> None:
        """A line of its own, beside the bar."""
        self.console.print(words, soft_wrap=True)

    def close(self) -> None:
        """No more is said."""
        if self._bar is not None:
            self._bar.stop()
        self._curves.close()
