"""Video out: H.264 in MP4, which every player shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from univs.errors import UserError
from univs.files import atomic_path
from univs.video.reader import Frame

if TYPE_CHECKING:
    from typing_extensions import Self


ENCODER = "libx264"
LONGEST_SIDE = 16384
"""In pixels: what x264 takes."""
MOST_PIXELS = 139_264 * 16 * 16
"""Of a frame: the macroblocks of H.264's highest level, 6.2 (8192 x 4320 and the like)."""


class VideoWriter:
    """Writes RGB uint8 frames H x W x 3 to an H.264 MP4 (yuv420p); the first frame sets the size.

    A context manager: the file takes its name when the block ends well and at least one frame was written; after an
    error nothing is left. H.264 needs even sizes, so the last row or column of an odd one is repeated; frames
    beyond what H.264 takes are scaled down (`fitting_size`).
    """

    def __init__(self, path: str | os.PathLike[str], fps: float, crf: int = 20, preset: str = "veryfast") -> None:
        """crf: constant rate factor of x264, 0 (lossless) to 51."""
        self._path = Path(path)
        self._fps = Fraction(fps).limit_denominator(1001)
        self._options = {"crf": str(crf), "preset": preset}
        self._stack = ExitStack()
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> Self:
        return self

    def write(self, frame: Frame) -> None:
        """Add one frame. Raises ValueError if its size differs from the first one's, OSError with the file's name,
        UserError where FFmpeg was built without x264."""
        import av

        height, width = fitting_size(*frame.shape[:2])
        if (height, width) != frame.shape[:2]:
            frame = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX))
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._container is None:
            temporary = self._stack.enter_context(atomic_path(self._path))
            with of_file(self._path):
                opened = av.open(str(temporary.absolute()), "w", format="mp4", options={"movflags": "+faststart"})
            self._container = self._stack.enter_context(opened)
            self._stream = self._new_stream()
            self._stream.height, self._stream.width = padded.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        if padded.shape[:2] != (self._stream.height, self._stream.width):
            raise ValueError(f"a frame of {width}x{height} in a video of {self._stream.width}x{self._stream.height}")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        with of_file(self._path):
            self._container.mux(self._stream.encode(picture))

    def _new_stream(self) -> Any:
        from av.codec.codec import UnknownCodecError

        try:
            return self._container.add_stream(ENCODER, rate=self._fps, options=self._options)
        except UnknownCodecError as error:
            reason = f"the FFmpeg of this PyAV has no {ENCODER}, which videos are written with"
            raise UserError(
                f"{reason}; the wheels have it: pip install --force-reinstall --only-binary av av"
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
        elif self._container is not None:
            with of_file(self._path), self._stack:
                self._container.mux(self._stream.encode(None))


@contextmanager
def of_file(path: Path) -> Iterator[None]:
    """Errors of the system and of FFmpeg within are OSErrors that say which file they are of."""
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, OSError) as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def fitting_size(height: int, width: int) -> tuple[int, int]:
    """Height and width in pixels at which frames of this size are written, smaller where H.264 takes no such frames."""
    ratio = min(1.0, LONGEST_SIDE / max(height, width), (MOST_PIXELS / (height * width)) ** 0.5)
    return max(1, int(height * ratio)), max(1, int(width * ratio))
