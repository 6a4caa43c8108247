"""The colours of indexed label files."""

from __future__ import annotations


def davis_palette() -> list[int]:
    """The 256 RGB triples of the DAVIS annotation files as one flat list, as Pillow's `putpalette` takes it.

    22 colours count in the bits of the index (0 black, 1 dark red, 2 dark green, ...), the rest are greys.
    """
    palette: list[int] = []
    for index in range(256):
        if index < 22:
            palette += [_channel(index, channel) for channel in range(3)]
        else:
            palette += [index] * 3
    return palette


def _channel(index: int, channel: int) -> int:
    high, low = index >> channel & 1, index >> (channel + 3) & 1
    return (0, 64, 128, 191)[2 * high + low]
