"""Where batches go on, what is said of samples that cannot be had, and how the loader's processes end."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training import forked
from tests.training.toy_run import CPU, Toy, losses_of, options
from univs.errors import UserError
from univs.training.checkpoint import load_checkpoint
from univs.training.loading import batches
from univs.training.trainer import Trainer


class Numbers:
    """A data set whose samples are their indices; from 100 on there are none."""

    def __getitem__(self, index: int) -> int:
        if index >= 100:
            raise UserError(f"sample {index} is broken")
        return index


def indices(samples: Sequence[int]) -> dict[str, Any]:
    return {"indices": list(samples)}


@pytest.mark.parametrize(
    ("taken", "rank", "world", "want"),
    [
        (0, 0, 1, [[0, 1, 2], [3, 4, 5]]),
        (4, 0, 1, [[12, 13, 14], [15, 16, 17]]),
        (0, 1, 2, [[1, 3, 5], [7, 9, 11]]),
        (2, 0, 2, [[12, 14, 16], [18, 20, 22]]),
    ],
)
def test_batches_go_on_where_a_run_left_off_and_no_two_processes_share_one(
    taken: int, rank: int, world: int, want: list[list[int]]
) -> None:
    given = batches(Numbers(), 3, 0, rank, world, indices)(taken)  # type: ignore[arg-type]
    assert [batch["indices"] for batch in itertools.islice(given, 2)] == want


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_had_is_said_in_the_line_of_its_error(workers: int) -> None:
    given = batches(Numbers(), 4, workers, 0, 1, indices)(24)  # type: ignore[arg-type]
    assert next(given)["indices"] == [96, 97, 98, 99]
    with pytest.raises(UserError) as error:
        next(given)
    assert str(error.value) == "sample 100 is broken"


class Slow:
    """Samples that take some time, so that processes are always at work on one; each process leaves its number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, index: int) -> Tensor:
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.02)
        return torch.full((3,), float(index % 3))


def stack(samples: Sequence[Tensor]) -> dict[str, Any]:
    return {"x": torch.stack(list(samples))}


@pytest.mark.parametrize(
    ("number", "whom"), [(signal.SIGINT, "all"), (signal.SIGTERM, "all"), (signal.SIGTERM, "trainer")]
)
def test_a_stopped_run_leaves_a_checkpoint_and_no_trace_of_its_processes(
    tmp_path: Path, number: signal.Signals, whom: str
) -> None:
    """Ctrl-C in a terminal reaches the processes of the loader, too."""
    (tmp_path / "processes").mkdir()
    said = tmp_path / "said"

    def work() -> None:
        model = Toy()
        given = batches(Slow(tmp_path / "processes"), 2, 2, 0, 1, stack)  # type: ignore[arg-type]
        run = Trainer(model, losses_of(model), given, options(10**6, save_minutes=0.0), tmp_path, CPU)
        run.run()
        (tmp_path / "ended").write_text(str(run.step_number))

    child = forked.start(work, said)
    forked.wait_for((tmp_path / "last.pt").exists)
    (os.killpg if whom == "all" else os.kill)(child, number)
    assert forked.end_of(child) == 0, said.read_text()
    assert forked.group_is_empty(child)
    assert len(list((tmp_path / "processes").iterdir())) == 2
    lines = said.read_text().splitlines()
    assert lines[-1] == "stopped; the same command goes on from here"
    assert not any(word in said.read_text() for word in ("Traceback", "Exception", "Error"))
    state = load_checkpoint(tmp_path / "last.pt")
    assert state is not None and str(state["step"]) == (tmp_path / "ended").read_text()
