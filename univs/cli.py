"""The command `univs`: parse, call, print. Whatever a user can get wrong ends in one line on stderr and status 2."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from univs import __version__
from univs.allocator import keep_freed_memory
from univs.commands.argument_types import Parser, a_path, a_short_side
from univs.commands.datasets import add_arguments as add_datasets_arguments
from univs.commands.effect import add_arguments as add_effect_arguments
from univs.commands.export_onnx import add_arguments as add_export_arguments
from univs.commands.score import add_arguments as add_score_arguments
from univs.commands.synth import add_arguments as add_synth_arguments
from univs.errors import UserError, lacks_memory
from univs.settings import UnusedSetting
from univs.terminal import prepare_streams
from univs.waiting import sleep_while_waiting

INTERRUPTED = 130
"""Exit status of what Ctrl-C stopped."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status: 0, 2 for bad input, 130 for Ctrl-C."""
    prepare_streams()
    sleep_while_waiting()
    with warnings.catch_warnings():
        warnings.showwarning = _say(warnings.showwarning)
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        parser = _parser()
        arguments, rest = parser.parse_known_args(argv)
        if rest and not arguments.takes_rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        arguments.rest = rest
        keep_freed_memory()
        status: int | None = arguments.run(arguments)
        print(end="", flush=True)  # what cannot be written is an error of this run
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        return _fail("there is not enough memory for this; a smaller size takes less. What was finished stays")
    except KeyboardInterrupt:
        print("univs: interrupted; what was finished stays", file=sys.stderr)
        return INTERRUPTED
    return status or 0


def _say(show: Callable[..., None]) -> Callable[..., None]:
    """Warnings as they are shown, but for settings that are left unused: one line says which."""

    def shown(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, UnusedSetting):
            print(f"univs: {message}", file=sys.stderr)
        else:
            show(message, category, *place)

    return shown


def _fail(message: str) -> int:
    print(f"univs: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="univs", description="Follow objects through videos.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"univs {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_segment(commands)
    demo = commands.add_parser("demo", help="follow objects through two built-in clips", allow_abbrev=False)
    demo.add_argument("--out", type=a_path, default=Path("univs-demo"), help="folder to write to (default: univs-demo)")
    demo.set_defaults(run=_demo, takes_rest=False)
    for name, run, text in (
        ("train", _train, "train a model: stage=... data=... and other Hydra overrides of configs/train.yaml"),
        ("evaluate", _evaluate, "score a model: dataset=... and other Hydra overrides of configs/evaluate.yaml"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
        command.set_defaults(run=run, takes_rest=False)
    extract = commands.add_parser(
        "extract",
        help="write feature maps and object tokens of every frame",
        description="OUT/00000.safetensors ...: features C x h/32 x w/32 and tokens Q x C before the decoder norm.",
        allow_abbrev=False,
    )
    extract.add_argument("input", metavar="VIDEO", help="a video file, a folder of frames, a glob or a camera index")
    extract.add_argument("--out", type=a_path, required=True, metavar="DIR", help="folder to write to")
    extract.add_argument("--weights", default="tiny", metavar="NAME|PATH", help="built-in weights or a file of them")
    extract.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    extract.add_argument(
        "--size",
        type=a_short_side,
        default=0,
        metavar="SHORT_SIDE",
        help="scale the frames' short side to so many pixels",
    )
    extract.set_defaults(run=_extract, takes_rest=False)
    score = commands.add_parser("score", help="official figures of predictions in their layout", allow_abbrev=False)
    add_score_arguments(score)
    score.set_defaults(run=_score, takes_rest=False)
    datasets = commands.add_parser(
        "datasets", help="public sets that can be read; check a download; pack training data", allow_abbrev=False
    )
    datasets.set_defaults(run=_datasets, takes_rest=False)
    add_datasets_arguments(datasets)
    synth = commands.add_parser("synth", help="the built-in world in the layout of a public set", allow_abbrev=False)
    add_synth_arguments(synth)
    synth.set_defaults(run=_synth, takes_rest=False)
    export = commands.add_parser("export", help="a portrait net as ONNX", allow_abbrev=False)
    add_export_arguments(export)
    export.set_defaults(run=_export, takes_rest=False)
    effect = commands.add_parser("effect", help="change a video around what was found in it", allow_abbrev=False)
    add_effect_arguments(effect)
    effect.set_defaults(run=_effect, takes_rest=False)
    models = commands.add_parser("models", help="all networks, what they do, where weights are", allow_abbrev=False)
    models.set_defaults(run=_models, takes_rest=False)
    benchmark = commands.add_parser("benchmark", help="tables of speed and memory", add_help=False, allow_abbrev=False)
    benchmark.set_defaults(run=_benchmark, takes_rest=True)
    return parser


def _add_segment(commands: argparse._SubParsersAction[Parser]) -> None:
    command = commands.add_parser(
        "segment",
        help="follow through a video what you point at, describe or name",
        description="Frames are counted from 0; coordinates are pixels of the original frame.",
        allow_abbrev=False,
    )
    command.add_argument("input", metavar="INPUT", help="a video file, a folder of frames, a glob or a camera index")
    command.add_argument(
        "--task",
        metavar="vis|vss|vps|vos|refvos|pvos|zero_shot",
        help="left out: refvos for --text, pvos for --name, vos for prompts that show an object, else vis",
    )
    command.add_argument(
        "--model", metavar="NAME", help="tiny (default), or stm, mivos or rvos, whose official weights are needed"
    )
    command.add_argument(
        "--weights", metavar="NAME|PATH", help="built-in weights or a file; left out: those of --model"
    )
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    command.add_argument(
        "--out", type=a_path, default=Path("univs-out"), help="folder to write to (default: univs-out)"
    )
    prompts = command.add_argument_group("prompts (each may be repeated)")
    prompts.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="PNG[@FRAME]",
        help="indexed or grey (one object per value, 255 is ignored) or binary (object 1), of the frame's size; "
        "docs/inputs.md has all kinds",
    )
    prompts.add_argument("--box", action="append", default=[], metavar="ID@FRAME:x0,y0,x1,y1")
    prompts.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="ID@FRAME:x,y[:+|-]",
        help="a click on the object, or with :- on what is not part of it",
    )
    prompts.add_argument(
        "--scribble", action="append", default=[], metavar="JSON", help="DAVIS scribble file; its paths are 0..1"
    )
    prompts.add_argument("--text", action="append", default=[], metavar="EXPRESSION", help='such as "the red car"')
    prompts.add_argument(
        "--name", action="append", default=[], metavar="ID:NAME", help='what an object is, for pvos: "3:sky"'
    )
    command.add_argument(
        "--categories",
        metavar="NAMES|VOCABULARY",
        help="what to look for: names separated by commas, or one of the vocabularies (coco, ytvis21, vipseg, ...)",
    )
    command.add_argument(
        "--size",
        type=a_short_side,
        metavar="SHORT_SIDE",
        help="short side in pixels at which the model looks at the frames, large or small; 0: their own; left out: "
        "what it was made for (480 for tiny). Less is faster. Masks have the frames' own size",
    )
    command.add_argument("--precision", default="float32", help="float32 (default), bfloat16 or, on a GPU, float16")
    command.add_argument("--compile", action="store_true", help="compile the image encoder: pays on long videos")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of who follows the objects, such as dense_frames=8 (docs/architecture.md); may be repeated",
    )
    command.add_argument("--no-overlay", action="store_true", help="do not write overlay.mp4")
    command.add_argument("--json", action="store_true", help="print a summary as JSON")
    command.set_defaults(run=_segment, takes_rest=False)


def _segment(arguments: argparse.Namespace) -> None:
    from univs.commands.prompt_arguments import (
        check_prompts,
        choose_task,
        count_for_prompts,
        read_categories,
        read_prompts,
    )
    from univs.video import open_video

    categories = read_categories(arguments.categories)
    task = choose_task(
        arguments.task,
        shown=bool(arguments.mask or arguments.box or arguments.point or arguments.scribble),
        described=bool(arguments.text),
        named=bool(arguments.name),
    )
    prompts = read_prompts(
        arguments.mask, arguments.box, arguments.point, arguments.scribble, arguments.text, arguments.name
    )

    from univs.claim import claim_folder
    from univs.commands.earlier_results import holds_results, refuse_own_input, refuse_own_masks
    from univs.commands.segment import check_question, read_settings, segment_to_folder
    from univs.devices import choose_device
    from univs.models.precision import check_precision
    from univs.models.weights_path import model_for, weights_path
    from univs.prompts import Mask

    check_question(task, prompts, categories)
    settings = read_settings(arguments.set)
    check_precision(arguments.precision, arguments.device)
    named = arguments.model and model_for(arguments.model, task)
    weights = weights_path(arguments.weights or named or "tiny")
    reader = open_video(arguments.input)
    check_prompts(prompts, reader.size, count_for_prompts(prompts, reader))
    for source in (arguments.input, reader.name):  # a folder or glob, and the one file found there
        refuse_own_input(source, arguments.out)
    with claim_folder(arguments.out) as claim:
        if claim.unfinished or holds_results(arguments.out):
            given = [prompt.source for said in prompts.values() for prompt in said if isinstance(prompt, Mask)]
            refuse_own_masks(filter(None, given), arguments.out)
        device = choose_device(arguments.device)
        check_precision(arguments.precision, device)

        from univs.models.zoo import check_model, load  # only now, when all else is right: torch takes its time

        if named and arguments.weights:
            check_model(weights, named)
        model = load(weights, device)
        summary = segment_to_folder(
            model,
            reader,
            prompts,
            arguments.out,
            task=task,
            size=arguments.size,
            categories=categories,
            precision=arguments.precision,
            compiled=arguments.compile,
            with_overlay=not arguments.no_overlay,
            title=Path(reader.name).name,
            unfinished=claim.unfinished,
            settings=settings,
        )
    if arguments.json:
        print(json.dumps({"out": str(arguments.out), **summary.to_json()}))
    else:
        speed = summary.frames / summary.seconds
        print(f"{summary.frames} frames in {summary.seconds:.1f} s ({speed:.1f} a second): {arguments.out}")


def _extract(arguments: argparse.Namespace) -> None:
    from univs.claim import claim_folder
    from univs.commands.extract import extract_to_folder
    from univs.devices import choose_device
    from univs.models.weights_path import weights_path
    from univs.video import open_video

    weights = weights_path(arguments.weights)
    reader = open_video(arguments.input)
    with claim_folder(arguments.out):
        device = choose_device(arguments.device)

        from univs.models.zoo import load_univs

        model = load_univs(weights, device)
        count = extract_to_folder(model, reader, arguments.out, size=arguments.size)
    print(f"{count} frames: {arguments.out}")


def _demo(arguments: argparse.Namespace) -> None:
    from univs.demo import run_demo

    run_demo(arguments.out)


def _train(arguments: argparse.Namespace) -> int:
    """What comes after a run that was stopped does not take a part of it for the whole."""
    from univs import training

    return INTERRUPTED if training.main(arguments.overrides) else 0


def _evaluate(arguments: argparse.Namespace) -> None:
    from univs import evaluation

    evaluation.main(arguments.overrides)


def _effect(arguments: argparse.Namespace) -> None:
    from univs.commands import effect

    effect.run(arguments)


def _score(arguments: argparse.Namespace) -> None:
    from univs.commands import score

    score.run(arguments)


def _datasets(arguments: argparse.Namespace) -> None:
    from univs.commands import datasets

    datasets.run_list(arguments)


def _synth(arguments: argparse.Namespace) -> None:
    from univs.commands import synth

    synth.run(arguments)


def _export(arguments: argparse.Namespace) -> None:
    from univs.commands.export_onnx import run_export

    run_export(arguments)


def _models(arguments: argparse.Namespace) -> None:
    from univs.commands.models import print_models

    print_models()


def _benchmark(arguments: argparse.Namespace) -> None:
    from univs import benchmark

    benchmark.main(arguments.rest)
