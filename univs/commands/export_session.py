"""What an interactive session has come to, as the folder that `univs segment` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from univs.claim import claim_folder
from univs.commands.earlier_results import refuse_own_input
from univs.commands.output_folder import OutputFolder

if TYPE_CHECKING:
    from univs.interactive.session import Session


def export_session(session: Session, folder: Path, *, with_overlay: bool = True) -> int:
    """Write masks, results.json, contact sheet and perhaps overlay.mp4 of all frames as they are now.

    Returns the number of frames. Raises UserError for a folder that another run writes to, that holds the frames
    themselves or files of others that would be replaced, OSError for one that cannot be written to.
    """
    reader = session.frames.reader
    refuse_own_input(reader.name, folder)
    with (
        claim_folder(folder) as claim,
        OutputFolder(
            folder,
            reader.fps,
            Path(reader.name).name,
            with_overlay=with_overlay,
            unfinished=claim.unfinished,
            frames=len(session.frames),
        ) as output,
    ):
        for result in session.results():
            output.add(session.frames[result.frame_index], result)
        return output.spool.num_frames
