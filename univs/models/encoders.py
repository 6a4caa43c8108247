"""Which text encoder a model was trained with, and where its weights and class embeddings come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from torch import Tensor

from univs.errors import UserError
from univs.files import cache_folder
from univs.models.clip_text import ClipTextEncoder
from univs.models.embedding_cache import CachedTextEncoder
from univs.models.features import TextFeatures
from univs.models.official import CLASS_COUNT, CLASS_ROWS
from univs.models.sentence_encoder import load_sentence_encoder
from univs.models.text_encoder import TextEncoder
from univs.models.weight_files import read_tensors
from univs.vocabularies import vocabulary

CLIP_MODEL = ("RN50x4", "openai")
"""Whose text tower the official models read, as open_clip names it."""


def load_text_encoder(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    class_table: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> TextEncoder:
    """A frozen text encoder by the name that a model's numbers give (`config["text"]["encoder"]`).

    Args:
        name: "minilm", which ships, or "clip_rn50x4", the tower of the official models.
        weights: of a CLIP tower: a checkpoint of it or of the CLIP around it. None: downloaded into the cache folder.
        class_table: the official file of class embeddings; the benchmarks' categories are then read from it.
        device: where it runs.

    Raises UserError for an unknown name or a file that does not fit.
    """
    if name == "minilm":
        return CachedTextEncoder(load_sentence_encoder().to(device))
    if name != "clip_rn50x4":
        raise UserError(f"unknown text encoder {name!r}: minilm or clip_rn50x4")

    def tower() -> TextEncoder:
        return CachedTextEncoder(load_clip_tower(weights).to(device))

    return tower() if class_table is None else ClassTable(read_class_table(Path(class_table)).to(device), tower)


def load_clip_tower(weights: str | os.PathLike[str] | None = None) -> ClipTextEncoder:
    """The CLIP text tower of a file, or of CLIP RN50x4 as open_clip downloads it.

    Raises UserError if the file is not there or not of CLIP, and if the download fails.
    """
    path = Path(weights) if weights is not None else _download()
    if not path.is_file():
        raise UserError(f"no weights of the CLIP text tower at {path}")
    return ClipTextEncoder.from_tensors(read_tensors(path))


def _download() -> Path:
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    folder = cache_folder() / "clip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(download_pretrained(get_pretrained_cfg(*CLIP_MODEL), cache_dir=str(folder)))
    except Exception as error:  # whatever the hub's client makes of a missing network
        raise UserError(
            "cannot download the text tower of CLIP RN50x4: "
            f"{str(error).splitlines()[0]}; give its weights by path instead"
        ) from error


def read_class_table(path: Path) -> Tensor:
    """The official class embeddings, 3938 x D, from a .pth, .pt, .pkl or .safetensors file with one such matrix.

    Raises UserError for anything else.
    """
    if not path.is_file():
        raise UserError(f"no class embeddings at {path}")
    tensors = read_tensors(path)
    tables = [tensor for tensor in tensors.values() if tensor.ndim == 2 and len(tensor) == CLASS_COUNT]
    if len(tables) != 1:
        raise UserError(f"{path} is not a table of class embeddings: one matrix of {CLASS_COUNT} rows is needed")
    return tables[0].float()


class ClassTable:
    """A `TextEncoder` that reads the benchmarks' categories from the official table and asks another for the rest.

    Args:
        table: 3938 D.
        other: makes the encoder for expressions and free words; called when there are some.
    """

    def __init__(self, table: Tensor, other: Callable[[], TextEncoder]) -> None:
        self.table, self._other = table, other
        self.dim = table.shape[1]

    @cached_property
    def encoder(self) -> TextEncoder:
        """The one for expressions and free words."""
        return self._other()

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Features of N texts, from the other encoder."""
        return self.encoder.encode(texts)

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        """Class embeddings K D: rows of the table for the whole vocabulary of a benchmark, as it writes its names."""
        known = _rows().get(tuple(names))
        if known is None:
            return self.encoder.encode_categories(names)
        start, count = known
        return self.table[start : start + count]


@lru_cache(maxsize=1)
def _rows() -> dict[tuple[str, ...], tuple[int, int]]:
    """Names of a benchmark's categories -> its rows of the table."""
    return {vocabulary(name).names: rows for name, rows in CLASS_ROWS.items()}
