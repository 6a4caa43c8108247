"""From entities to what is handed out: tracks of instances, panoptic segments, a semantic map."""

from __future__ import annotations
