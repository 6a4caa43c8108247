"""Frames from video files and cameras, decoded by PyAV (FFmpeg) one at a time."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from univs.errors import UserError
from univs.mistaken_files import download_fault
from univs.video.reader import DEFAULT_FPS, Frame, VideoReader

SLACK = 0.5
"""Seconds by which a whole stream may end before the length that is announced."""
_CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


class FileReader(VideoReader):
    """Frames of a video file, turned upright by its rotation metadata.

    Iterating yields every frame that decodes, then raises UserError if the file is cut short or broken at that point.
    """

    announced = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        with self._open() as container:
            stream = container.streams.video[0]
            self.fps = float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
            self.num_frames = stream.frames or None
            first = next(self._decode(container), None)
        if first is None:
            raise UserError(f"{path} has a video stream without frames; is the file whole?")
        self.size = first.shape[:2]

    def frames(self) -> Iterator[Frame]:
        with self._open() as container:
            yield from self._decode(container)

    def _open(self) -> Any:
        try:
            container = av.open(str(self._path.absolute()))  # what stands before a colon would be a protocol
        except (FFmpegError, OSError) as error:
            fault = download_fault(self._path, "a video") if self._path.is_file() else None
            reason = f"it {fault}" if fault else _reason(error)
            raise UserError(f"{self._path} is not a video that can be read: {reason}") from None
        if not container.streams.video:
            container.close()
            raise UserError(f"{self._path} holds no video stream; give a video file")
        return container

    def _decode(self, container: Any) -> Iterator[Frame]:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        in_order = container.format.name == "avi"  # its pictures have places, but no times
        index, latest, end, whole = 0, 0, 0, True
        try:
            for packet in container.demux(stream):
                whole = not packet.is_corrupt  # false where the file ends inside this packet
                for frame in stream.decode(packet if whole else None):  # None: the frames that wait in the decoder
                    yield upright(frame.to_ndarray(format="rgb24"), frame.rotation)
                    index += 1
                if not whole:
                    break
                time = packet.dts if in_order else packet.pts
                if time is not None and time >= latest:
                    latest, end = time, time + (packet.duration or time - latest)
        except FFmpegError as error:
            raise UserError(f"{self.name} is broken at frame {index}: {_reason(error)}") from None
        if not whole or _cut_short(stream, self._path, float(end * stream.time_base)):
            expected = f"{stream.frames} frames" if stream.frames else "more"
            raise UserError(f"{self.name} is cut short: it ends at frame {index} but announces {expected}")


class CameraReader(VideoReader):
    """Frames of a camera, without end."""

    rereadable = False

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        self._container = _open_camera(index)
        stream = self._container.streams.video[0]
        self.fps = float(stream.average_rate or DEFAULT_FPS)
        self.size = (stream.height, stream.width)

    def frames(self) -> Iterator[Frame]:
        with self._container as container:
            try:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray(format="rgb24")
            except FFmpegError as error:
                raise UserError(f"{self.name} stopped: {_reason(error)}") from None


def _open_camera(index: int) -> Any:
    device = {"linux": f"/dev/video{index}", "win32": f"video={index}"}.get(sys.platform, str(index))
    try:
        container = av.open(device, format=_CAMERA_FORMATS.get(sys.platform, "v4l2"))
    except (FFmpegError, OSError, ValueError) as error:
        raise UserError(f"there is no camera {index} ({device}: {_reason(error)})") from None
    if not container.streams.video:
        raise UserError(f"camera {index} ({device}) gives no video")
    return container


def upright(frame: Frame, rotation: int) -> Frame:
    """Turn a frame counter-clockwise by `rotation` degrees (PyAV's sense), rounded to quarter turns."""
    return np.ascontiguousarray(np.rot90(frame, round(rotation / 90) % 4))


def _cut_short(stream: Any, path: Path, end: float) -> bool:
    """Whether the container's index points past the end of the file, or the stream ends before its length.

    end: of the last picture, in seconds, its own length included. Matroska says the length in a tag, AVI in its header:
    such files may end between two pictures.
    """
    size = os.path.getsize(path)
    if any(entry.pos + entry.size > size for entry in stream.index_entries):
        return True
    if stream.container.format.name == "avi" and stream.frames and stream.average_rate:  # its duration is guessed anew
        return float(stream.frames / stream.average_rate) - end > SLACK
    announced = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if announced is None:
        return False
    hours, minutes, rest = map(float, announced.groups())
    return hours * 3600 + minutes * 60 + rest - end > SLACK


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
