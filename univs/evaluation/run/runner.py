"""`univs evaluate` on public sets: settings in, tables out. Under torchrun the videos are shared by its processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from univs.claim import claim_folder
from univs.errors import UserError
from univs.evaluation.run.benchmark_run import Job, Outcome, answer, find_job
from univs.evaluation.run.fingerprint import fingerprint
from univs.evaluation.run.questions import PromptKind
from univs.evaluation.run.report import print_all, report
from univs.evaluation.run.sharding import World
from univs.evaluation.run.table import OF_PAPERS
from univs.files import from_home
from univs.settings import Among, Device, Is, ShortSide, Text, Within
from univs.terminal import plain_console

if TYPE_CHECKING:
    from rich.console import Console

    from univs.models.zoo import Network

RESULTS = Path("results")
OWN_SETTINGS = frozenset(("model", "task", "size", "keep_results"))
"""What a session takes by name and evaluation sets itself."""


class SetData(TypedDict):
    """The folder of a set."""

    root: Text


class ManyData(TypedDict, total=False):
    """A folder that holds each set in a folder of its name, and where single sets lie instead."""

    root: Text | None
    roots: Annotated[Mapping[str, Text | None], Among(OF_PAPERS)] | None


def evaluate(
    dataset: str,
    data: SetData,
    split: Text | None = None,
    videos: Annotated[int, Is("how many are taken"), Within(1)] | None = None,
    weights: Text = "tiny",
    size: ShortSide | None = 480,
    options: Mapping[str, Any] | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
    prompt: PromptKind = "mask",
) -> Outcome | None:
    """Answers a split of a public set and scores the answers, or makes the file that its server takes.

    Settings are those of configs/dataset/public.yaml: `size` is the short side (pixels) at which the model sees a
    frame, `options` are those of `univs.Session`, `prompt` says how objects are shown, where the set shows them. Prints
    a table and writes OUT/DATASET/SPLIT/summary.json. None in all processes of torchrun but the first. Raises UserError
    for missing data, unknown names and weights.
    """
    job = find_job(dataset, str(data["root"]), split, videos, Path(out) if out else RESULTS, prompt)
    return run_benchmark(job, weights, device, size, options)


def run_benchmark(
    job: Job, weights: str, device: str, size: int | None, options: Mapping[str, Any] | None = None
) -> Outcome | None:
    """Answers and scores the videos of a job by a model and prints what came of it.

    None in all processes of torchrun but the first. Raises UserError for unknown options and weights, and for files of
    the videos that cannot be read.
    """
    world = World.from_environment()
    console = plain_console(quiet=world.rank > 0)
    with claims([job], world), world:
        runner = BenchmarkRunner(weights, device, size, options or {}, world, console)
        outcome = runner.answer(job)
    if outcome:
        report(outcome, console)
    return outcome


def evaluate_all(
    dataset: str,
    data: ManyData,
    videos: Annotated[int, Is("how many are taken"), Within(1)] | None = None,
    weights: Text = "tiny",
    size: ShortSide | None = 480,
    options: Mapping[str, Any] | None = None,
    device: Device = "auto",
    out: Text | Path | None = None,
) -> list[Outcome]:
    """The ten benchmarks of the paper's table, each on its first split, and the table.

    `data`: root, a folder that holds each set in a folder of its name; roots, where single sets lie instead. Sets that
    are not there say so in their row. Raises UserError if none is there.
    """
    folder, world = Path(out) if out else RESULTS, World.from_environment()
    console = plain_console(quiet=world.rank > 0)
    jobs: dict[str, Job | str] = {}
    for name in OF_PAPERS:
        try:
            jobs[name] = find_job(name, find_root(name, data), None, videos, folder)
        except UserError as error:
            jobs[name] = str(error)
    found = [job for job in jobs.values() if isinstance(job, Job)]
    if not found:
        raise UserError(f"dataset all: no benchmark can be read; {next(iter(jobs.values()))}")
    with claims(found, world), world:
        runner = BenchmarkRunner(weights, device, size, options or {}, world, console)
        outcomes = [outcome for job in found if (outcome := runner.answer(job))]
    if world.rank == 0:
        print_all(jobs, outcomes, f"ten benchmarks, weights {weights}", folder, console)
    return outcomes


@contextmanager
def claims(jobs: Sequence[Job], world: World) -> Iterator[None]:
    """Keeps other runs out of the folders of the jobs; the first process does so for all of torchrun's."""
    with ExitStack() as stack:
        for job in jobs if world.rank == 0 else ():
            stack.enter_context(claim_folder(job.folder, "out="))
        yield


class BenchmarkRunner:
    """A model that answers benchmarks, loaded once."""

    def __init__(
        self,
        weights: str,
        device: str,
        size: int | None,
        options: Mapping[str, Any],
        world: World,
        console: Console,
    ) -> None:
        for name in OWN_SETTINGS & options.keys():
            raise UserError(f"options.{name} is no option; size=N says how large the model sees frames")

        from univs.models.zoo import load  # after the cheap checks: it takes seconds to import torch

        self._model: Network = load(weights, device=world.device(device))
        self._size, self._options, self._world, self._console = size, dict(options), world, console
        self._settings = {
            "weights": str(weights),
            "fingerprint": fingerprint(self._model),
            "size": size,
            "options": self._options,
        }

    def answer(self, job: Job) -> Outcome | None:
        """What comes of a benchmark; None in all processes but the first."""
        new_session = job.benchmark.sessions(self._model, job.benchmark.task, self._size, self._options)
        return answer(job, new_session, self._settings, self._world, self._console)


def find_root(name: str, data: ManyData) -> Path:
    """Where a set lies: data.roots.NAME, else the folder of its name (- and _, A and a are the same) in data.root.

    Raises UserError if it is nowhere.
    """
    given = (data.get("roots") or {}).get(name)
    if given:
        return Path(str(given))
    if data.get("root") is None:
        raise UserError(f"no data.root and no data.roots.{name}")
    root = from_home(str(data["root"]))
    if not root.is_dir():
        raise UserError(f"no folder {root}")
    for path in sorted(root.iterdir()):
        if path.name.lower().replace("-", "_") == name and path.is_dir():
            return path
    raise UserError(f"no folder {root / name}")
