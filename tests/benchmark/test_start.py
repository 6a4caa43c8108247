from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from univs.benchmark import main
from univs.benchmark.start import (
    QUESTIONS,
    SIZES,
    FrameCost,
    Start,
    cost_table,
    first_answer,
    start_table,
    typical,
    write_clips,
)
from univs.errors import UserError
from univs.streaming.tasks import TASKS
from univs.terminal import plain_console
from univs.video import open_video


def test_every_task_is_asked() -> None:
    assert QUESTIONS.keys() == TASKS.keys() - {"zero_shot"}, "which UniVS has not"


def test_the_real_command_is_started_and_stopped() -> None:
    start = first_answer(QUESTIONS["vos"], threads=1)
    assert 0.5 < start.seconds < 100 and (start.cpu is None or 0.5 < start.cpu <= start.seconds * 1.5)


def test_a_command_that_fails_is_told() -> None:
    with pytest.raises(UserError, match="--colour: univs: error: unrecognized arguments: --colour"):
        first_answer(["--colour"], threads=1)


def test_one_clip_in_three_sizes(tmp_path: Path) -> None:
    for name, path in write_clips(tmp_path, 2).items():
        reader = open_video(path)
        assert reader.size == SIZES[name] and len(list(reader)) == 2


def test_the_median_of_each_part_counts() -> None:
    costs = [FrameCost(1, 20, 300, 4000), FrameCost(3, 10, 100, 9000), FrameCost(2, 30, 200, 1000)]
    assert typical(costs) == FrameCost(2, 20, 200, 4000)
    assert typical(costs).total == 4222


def test_tables_say_best_median_and_sums(capsys: pytest.CaptureFixture[str]) -> None:
    console = plain_console(width=200)
    console.print(start_table({"vos": [Start(2, 1.5), Start(1.25, 1.75), Start(3, None)], "vis": [Start(1, None)]}, 2))
    console.print(cost_table({"480p": FrameCost(0.001, 0.002, 0.03, 0.004)}))
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert rows[0] == ["vos", "1.25", "2.00", "1.50"] and rows[1] == ["vis", "1.00", "1.00", "not", "known"]
    assert rows[2] == ["480p", "1.0", "2.0", "30.0", "4.0", "37.0", "34.0"]


def test_options_are_checked_before_anything_runs() -> None:
    for argv, words in (
        (["--runs", "0"], "at least 1"),
        (["--frames", "3"], "more than 3"),
        (["--weights", "no-such"], "unknown weights"),
        (["--colour"], r"univs benchmark start --help"),
    ):
        with pytest.raises(UserError, match=words):
            main(["start", *argv])
    code = (
        "import sys; from univs.benchmark import main\ntry: main(['start', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
