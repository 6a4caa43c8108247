"""Videos scored one by one, by several processes: only the figures of a video are kept, never its masks."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from univs.evaluation.metrics.scores import Progress, quiet

Job = TypeVar("Job")
Result = TypeVar("Result")


def score_videos(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int = 1,
    progress: Progress = quiet,
    weights: Sequence[float] | None = None,
) -> list[Result]:
    """The results of `function` on all jobs, in their order.

    Args:
        function: a function at the top of a module, or a partial of one; it may run in another process.
        jobs: one per video; small and picklable (paths, not masks).
        workers: processes at most; 1 for this one.
        weights: how long each job takes, in any unit; the longest are begun first.
    Raises what `function` raises; what has not begun by then is left undone.
    """
    workers = min(workers, len(jobs))
    results: dict[int, Result] = {}
    order = sorted(range(len(jobs)), key=lambda number: -weights[number]) if weights else range(len(jobs))
    progress(0, len(jobs))
    if workers <= 1:
        for number in order:
            results[number] = function(jobs[number])
            progress(len(results), len(jobs))
    else:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork" if may_fork() else "spawn")) as pool:
            futures = {pool.submit(function, jobs[number]): number for number in order}
            try:
                for future in as_completed(futures):
                    results[futures[future]] = future.result()
                    progress(len(results), len(jobs))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [results[number] for number in range(len(jobs))]


def may_fork() -> bool:
    """Whether processes start at once, as forks: those copy no threads, so that locks they hold would stay locked."""
    return threading.active_count() == 1 and "torch" not in sys.modules and sys.platform.startswith("linux")
