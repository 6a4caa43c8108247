"""Corrects a clip in two rounds: python examples/correct_a_clip.py [OUT]

A rabbit climbs out of its burrow (Big Buck Bunny, (c) Blender Foundation, CC BY 3.0; the clip is in the package).
Round 1: a box on the first frame that shows it whole, carried to both ends. Round 2: on a frame where the ears are lost
and the dark burrow is taken for the rabbit, a box and a stroke on each ear; what they change is carried both ways and
fused with what was there. OUT then has the pictures of both rounds, and in OUT/result what `univs segment` writes.
Nothing is downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import univs
from univs.commands.export_session import export_session
from univs.demo import RABBIT_CLIP
from univs.files import atomic_path
from univs.interactive import Session
from univs.interactive.fusion import linear
from univs.interactive.interactions import Interactions, Stroke
from univs.interactive.segmenters import segmenter_of
from univs.visualization import contact_sheet, overlay

FIRST, BOX = 40, (100, 17, 355, 303)  # left, top, right, bottom in pixels, the last two exclusive
SECOND, AGAIN = 112, (141, 22, 304, 315)
EARS = (Stroke(((202, 30), (203, 48), (206, 66))), Stroke(((150, 54), (170, 62), (190, 74))))
SHOWN = (40, 60, 80, 100, 112, 131)


def correct(out: Path, size: int = 240) -> None:
    """Both rounds, their pictures and the result; size: short side at which the network looks at frames."""
    out.mkdir(parents=True, exist_ok=True)
    segmenter = segmenter_of("tiny", size=size)
    with Session(univs.load("tiny"), RABBIT_CLIP, fusion=linear, workspace=out / "work", size=size) as session:
        rabbit = session.add_object("rabbit")

        session.segment(FIRST, segmenter, {rabbit: Interactions(box=BOX)})
        session.propagate(progress=lambda done, of: print(f"\rround 1: {done} of {of} frames", end="", flush=True))
        draw_round(session, out / "round1.jpg", f"Round 1: a box on frame {FIRST}, carried through the clip")

        session.segment(SECOND, segmenter, {rabbit: Interactions(box=AGAIN, strokes=EARS)})
        session.propagate(progress=lambda done, of: print(f"\rround 2: {done} of {of} frames", end="", flush=True))
        draw_round(session, out / "round2.jpg", f"Round 2: a box and two strokes on frame {SECOND}, carried and fused")

        export_session(session, out / "result")
    print(f"\nlook at {out / 'round1.jpg'}, {out / 'round2.jpg'} and {out / 'result' / 'overlay.mp4'}")


def draw_round(session: Session, path: Path, title: str) -> None:
    """Some frames with their masks on one page, and what was said about them."""
    pictures = []
    for index in SHOWN:
        picture = Image.fromarray(overlay(session.frames[index], session.result(index).labels, show_names=False))
        if index in session.interacted:
            draw = ImageDraw.Draw(picture)
            draw.rectangle(BOX if index == FIRST else AGAIN, outline=(255, 255, 255), width=2)
            for stroke in EARS if index == SECOND else ():
                draw.line(stroke.xy, fill=(80, 255, 80), width=4)
        pictures.append(np.asarray(picture))
    captions = [f"frame {index}" + (", shown" if index in session.interacted else "") for index in SHOWN]
    with atomic_path(path) as temporary:
        Image.fromarray(contact_sheet(pictures, captions, title=title, columns=3)).save(temporary, quality=88)


if __name__ == "__main__":
    correct(Path(sys.argv[1] if len(sys.argv) > 1 else "univs-out/corrected"))
