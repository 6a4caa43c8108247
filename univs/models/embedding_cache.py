"""Text embeddings kept on disk: towers are slow, and the same vocabularies are asked for again and again.

A file holds the answer to one call; its name is the hash of the encoder's weights, the call and its texts. Files lie in
`univs.files.cache_folder()` and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from univs.files import atomic_path, cache_folder
from univs.models.features import TextFeatures
from univs.models.text_encoder import TextEncoder


class CachedTextEncoder:
    """A `TextEncoder` that asks another one only for what is not on disk yet.

    Args:
        encoder: asked for the rest; a module, whose weights name it.
        folder: of the files; by default `embeddings` in the cache folder.
    """

    def __init__(self, encoder: TextEncoder, folder: Path | None = None) -> None:
        self.encoder = encoder
        self.dim = encoder.dim
        self.folder = folder or cache_folder() / "embeddings"
        self._name: str | None = None

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Features of N texts."""

        def ask() -> dict[str, Tensor]:
            features = self.encoder.encode(texts)
            return {"words": features.words, "word_mask": features.word_mask, "sentence": features.sentence}

        return TextFeatures(**self._answer("encode", texts, ask))

    def encode_categories(self, names: Sequence[str]) -> Tensor:
        """Class embeddings K D."""
        ask = lambda: {"embeddings": self.encoder.encode_categories(names)}  # noqa: E731
        return self._answer("encode_categories", names, ask)["embeddings"]

    def _answer(self, call: str, texts: Sequence[str], ask: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What is on disk, else the encoder's answer, which is kept. A folder that cannot be written is no error."""
        path = self.folder / f"{self._hash(call, texts)}.safetensors"
        device = _device(self.encoder)
        try:
            return {name: tensor.to(device) for name, tensor in load_file(path).items()}
        except (OSError, SafetensorError):  # not there, or damaged
            pass
        answer = ask()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                save_file({name: tensor.cpu().clone().contiguous() for name, tensor in answer.items()}, temporary)
        except OSError:
            pass
        return answer

    def _hash(self, call: str, texts: Sequence[str]) -> str:
        if self._name is None:
            self._name = fingerprint(self.encoder)
        return hashlib.sha256(json.dumps([self._name, call, list(texts)]).encode()).hexdigest()[:32]


def fingerprint(encoder: TextEncoder) -> str:
    """A hash of the kind and the weights of an encoder."""
    digest = hashlib.sha256(type(encoder).__qualname__.encode())
    if isinstance(encoder, nn.Module):
        for name, tensor in sorted(encoder.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _device(encoder: TextEncoder) -> torch.device:
    tensors = encoder.state_dict().values() if isinstance(encoder, nn.Module) else ()
    return next((tensor.device for tensor in tensors), torch.device("cpu"))
