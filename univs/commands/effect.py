"""`univs effect`: what was found in a video before another background, in colour alone, cut out, or in the light.

Found by `univs segment` before, or people by the portrait net as the video goes.
"""

from __future__ import annotations

import argparse
import glob
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from univs.claim import check_file, claim_folder
from univs.commands.argument_types import a_path
from univs.commands.backgrounds import Background
from univs.commands.subject_masks import SubjectMasks
from univs.errors import UserError
from univs.terminal import counted, plain_console
from univs.video import VideoReader, VideoWriter, open_video
from univs.video.pictures import write_picture
from univs.visualization import effects
from univs.visualization.alpha import Alpha, AlphaSmoother, soft_alpha

if TYPE_CHECKING:
    from univs.models.portrait import PortraitNet

Picture = NDArray[np.uint8]
Shown = tuple[Picture, NDArray[Any]]
"""A frame, and the mask of its subject: yes or no, or probabilities."""
Change = Callable[[Picture, Alpha, float], Picture]
"""Frame, alpha, seconds since the first frame -> the changed frame."""


@dataclass(frozen=True)
class Control:
    """A number of an effect. name: of the argument of the function. meaning: with what is taken if nothing is said."""

    name: str
    low: float
    high: float
    meaning: str


@dataclass(frozen=True)
class Effect:
    """What an effect does and what may be said about it. controls: option -> number."""

    meaning: str
    controls: Mapping[str, Control] = field(default_factory=dict)


EFFECTS = {
    "background": Effect("the subject before --background COLOUR|PICTURE|VIDEO"),
    "blur": Effect(
        "all but the subject blurred",
        {"amount": Control("amount", 0, 0.5, f"share of the height ({effects.BLUR})")},
    ),
    "colour-pop": Effect(
        "the subject alone in colour",
        {
            "amount": Control("amount", 0, 1, "share of the colour that goes (1)"),
            "tone": Control("tone", 0.1, 10, "exponent of the brightness around the subject (1)"),
            "feather": Control("feather", 0, 0.5, f"share of the height ({effects.FEATHER})"),
        },
    ),
    "cut-out": Effect("the subject alone, as PNGs with alpha"),
    "spotlight": Effect(
        "all but the subject darker",
        {
            "amount": Control("darkness", 0, 1, f"share of the light that goes ({effects.DARKNESS})"),
            "feather": Control("feather", 0, 0.5, f"share of the height ({effects.FEATHER})"),
        },
    ),
}
FUNCTIONS: Mapping[str, Callable[..., Picture]] = {
    "blur": effects.blur_background,
    "colour-pop": effects.colour_pop,
    "cut-out": effects.cut_out,
    "spotlight": effects.spotlight,
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = [f"  {name:12} {effect.meaning}" for name, effect in EFFECTS.items()]
    command.description = "Changes a video around what was found in it.\n\neffects:\n" + "\n".join(lines)
    command.add_argument("input", metavar="INPUT", help="the video that was segmented: file, folder of frames or glob")
    command.add_argument(
        "--mask", type=a_path, metavar="RESULTS", help="a folder of univs segment, or its results.json"
    )
    command.add_argument("--model", choices=("portrait",), help="instead of --mask: the subject is whoever is seen")
    command.add_argument("--weights", metavar="NAME|PATH", help="of --model; left out: those of that name")
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="of --model")
    command.add_argument("--effect", required=True, choices=tuple(EFFECTS), metavar="EFFECT", help=" | ".join(EFFECTS))
    command.add_argument(
        "--object",
        type=int,
        action="append",
        default=[],
        metavar="ID",
        help="a track that is the subject; may be repeated (default: all)",
    )
    command.add_argument("--background", metavar="COLOUR|FILE", help="#rrggbb or a name, a picture or a video")
    command.add_argument("--light-wrap", action="store_true", help="background: let its light come around the edges")
    for option in ("amount", "tone", "feather"):
        said = [f"{n}: {e.controls[option].meaning}" for n, e in EFFECTS.items() if option in e.controls]
        command.add_argument(f"--{option}", type=float, metavar="NUMBER", help="; ".join(said))
    command.add_argument("--no-smoothing", action="store_true", help="each frame's edges by themselves")
    command.add_argument(
        "--out",
        type=a_path,
        metavar="FILE|DIR",
        help="an .mp4 file, or a folder for PNGs (default: univs-effect.mp4; cut-out: the folder univs-effect)",
    )
    command.add_argument("--json", action="store_true", help="print a summary as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Change a video. Raises UserError for whatever is wrong with the arguments or the files."""
    numbers = read_numbers(arguments)
    out = arguments.out or Path("univs-effect" if arguments.effect == "cut-out" else "univs-effect.mp4")
    as_video = out.suffix.lower() == ".mp4"
    check_out(out, arguments.effect, as_video)
    reader = open_video(arguments.input)
    background = None if arguments.background is None else Background(arguments.background, reader.size)
    refuse_own_input(arguments, out, reader, background)
    start = time.perf_counter()
    change = change_of(arguments, numbers, background)
    with subject_of(arguments, reader) as subject, nullcontext() if as_video else claim_folder(out):
        frames = changed(subject, change, reader.fps, smoothing=not arguments.no_smoothing)
        count = (write_video if as_video else write_pictures)(frames, out, reader.fps)
    seconds = time.perf_counter() - start
    if arguments.json:
        print(json.dumps({"out": str(out), "frames": count, "seconds": round(seconds, 3)}))
    else:
        print(f"{count} frames in {seconds:.1f} s ({count / max(seconds, 1e-9):.1f} a second): {out}")


def read_numbers(arguments: argparse.Namespace) -> dict[str, float]:
    """The numbers of the effect, by the names of its function's arguments.

    Raises UserError for one that it does not have, or out of its bounds, for a background or a subject too many or too
    few.
    """
    name = arguments.effect
    if (arguments.mask is None) == (arguments.model is None):
        raise UserError("who is the subject? Give --mask with results of univs segment, or --model portrait for people")
    if arguments.model is not None and arguments.object:
        raise UserError("--object chooses tracks of --mask; people that --model portrait finds are one subject")
    if arguments.model is None and arguments.weights is not None:
        raise UserError("--weights are those of --model portrait; leave them out with --mask")
    if name == "background" and arguments.background is None:
        raise UserError("--effect background needs --background: #rrggbb or a name, a picture or a video")
    for option in ("background", "light_wrap"):
        if name != "background" and getattr(arguments, option):
            raise UserError(f"--{option.replace('_', '-')} is for --effect background; leave it out for {name}")
    numbers = {}
    for option in ("amount", "tone", "feather"):
        value, control = getattr(arguments, option), EFFECTS[name].controls.get(option)
        if value is None:
            continue
        if control is None:
            raise UserError(f"--{option}: the effect {name} has no such number")
        if not control.low <= value <= control.high:
            raise UserError(f"--{option} must be {control.low} to {control.high} for {name}, not {value}")
        numbers[control.name] = value
    return numbers


def check_out(out: Path, effect: str, as_video: bool) -> None:
    """Raise UserError for a file that cannot hold what the effect makes, or is no video."""
    if as_video and effect == "cut-out":
        raise UserError(f"--out {out}: an .mp4 has no alpha; name a folder, which gets PNGs")
    if as_video:
        check_file(out)
    if out.is_dir() and any(path.stem.isdigit() for path in out.glob("*.png")):
        raise UserError(f"--out {out} holds numbered PNGs already; name another folder, or remove them")
    if not as_video and (out.suffix or out.is_file()) and not out.is_dir():
        raise UserError(f"--out {out}: videos are written as .mp4; for PNGs name a folder")


def refuse_own_input(
    arguments: argparse.Namespace, out: Path, reader: VideoReader, background: Background | None
) -> None:
    """Raise UserError if what is read would be replaced, or what is written lay among the frames that are read."""
    if not out.exists():
        return
    named = [("INPUT", arguments.input), ("INPUT", reader.name)]  # a folder or glob, and the one file found there
    if background is not None:
        named += [("--background", arguments.background), ("--background", background.name)]
    for option, given in named:
        if Path(given).exists() and out.samefile(given):
            raise UserError(f"--out {out} is {option}; name another one")
    folders = {Path(match).parent for match in glob.iglob(arguments.input, recursive=True)} if out.is_dir() else ()
    if not Path(arguments.input).exists() and any(out.samefile(folder) for folder in folders):
        raise UserError(f"--out {out} is where the frames of INPUT lie; name another folder")


def change_of(arguments: argparse.Namespace, numbers: Mapping[str, float], background: Background | None) -> Change:
    """The effect that is asked for."""
    if background is not None:
        wrap = arguments.light_wrap
        return lambda frame, alpha, now: effects.replace_background(frame, alpha, background.at(now), light_wrap=wrap)
    function = FUNCTIONS[arguments.effect]
    return lambda frame, alpha, now: function(frame, alpha, **numbers)


@contextmanager
def subject_of(arguments: argparse.Namespace, reader: VideoReader) -> Iterator[Iterator[Shown]]:
    """The frames of a video, each with the subject's mask, and a progress bar on stderr."""
    frames = counted(reader, reader.name, reader.num_frames, plain_console(stderr=True))
    if arguments.mask is None:
        yield with_people(frames, portrait_net(arguments.weights or arguments.model, arguments.device))
        return
    counted_frames = None if reader.announced else reader.num_frames
    with SubjectMasks(arguments.mask, arguments.object, reader.size, counted_frames) as masks:
        yield with_masks(frames, masks)


def with_masks(frames: Iterable[Picture], masks: SubjectMasks) -> Iterator[Shown]:
    """Frames, each with its mask. Raises UserError behind the last one where the masks go on: of another video."""
    count = 0
    for frame in frames:
        yield frame, masks.mask(count)
        count += 1
    masks.ends_with(count)


def portrait_net(weights: str, device: str) -> PortraitNet:
    """The net with its weights. Raises UserError for weights that are not there or of another model."""
    from univs.devices import choose_device
    from univs.models.portrait import PortraitNet
    from univs.models.weights_path import weights_path
    from univs.models.zoo import load

    path = weights_path(weights)
    model = load(path, choose_device(device))
    if not isinstance(model, PortraitNet):
        raise UserError(f"{path} holds no portrait net; give weights of univs train stage=portrait")
    return model


def with_people(frames: Iterable[Picture], model: PortraitNet) -> Iterator[Shown]:
    """Frames, each with H W probabilities of people."""
    from univs.trackers.portrait import mattes

    waiting: deque[Picture] = deque()

    def remembered() -> Iterator[Picture]:
        for frame in frames:
            waiting.append(frame)
            yield frame

    for matte in mattes(model, remembered()):
        yield waiting.popleft(), matte


def changed(subject: Iterable[Shown], change: Change, fps: float, *, smoothing: bool = True) -> Iterator[Picture]:
    """Frames, each with the mask of its subject, changed one by one."""
    calm = AlphaSmoother()
    for index, (frame, mask) in enumerate(subject):
        alpha = soft_alpha(mask, frame)
        if smoothing:
            alpha = calm(alpha, frame)
        yield change(frame, alpha, index / fps)


def write_video(frames: Iterator[Picture], path: Path, fps: float) -> int:
    """The number of frames; the file appears whole or not at all."""
    count = 0
    with VideoWriter(path, fps) as video:
        for frame in frames:
            video.write(frame)
            count += 1
    return count


def write_pictures(frames: Iterator[Picture], folder: Path, _: float) -> int:
    """The number of frames, FOLDER/00000.png ...; each appears whole, and what is done stays."""
    count = 0
    for frame in frames:
        write_picture(folder / f"{count:05d}.png", frame)
        count += 1
    return count
