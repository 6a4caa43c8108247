"""A training set in one file: a zip of WebP pictures and masks as run lengths, read at random without unpacking.

```
index.json                 what it is, the settings that belong to it and its sources, in order
000/recordings.jsonl       of source 0: a line for each recording (names, number of frames, what is labelled)
000/000000-00000.webp      of its recording 0: the picture of frame 0
000/000000-00000.json      and its labels: size, and for each id on the map the counts of its COCO RLE
```

`contents` has these forms, `archive` finds members, `reading` makes sources of them, `writing` makes a pack of sources.
"""

from __future__ import annotations

from univs.data.pack.reading import open_pack, with_packed_settings

__all__ = ["open_pack", "with_packed_settings"]
