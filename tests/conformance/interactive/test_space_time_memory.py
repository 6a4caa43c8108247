"""Space-time memory networks against the golden figures: encoders, reads, decoder, attention, aggregation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.masks.soft_aggregation import joint_probabilities, log_odds
from univs.models.memory_read import read_in_chunks
from univs.models.space_time_decoder import joined, one_logit
from univs.models.space_time_memory import MemoryEntry, SpaceTimeMemory, aligned, rows

pytestmark = pytest.mark.conformance

Networks = Callable[[str], SpaceTimeMemory]


def objects_of(golden: Any, name: str = "masks_idx") -> Tensor:
    """T N H W masks of a stored label map."""
    labels = golden.tensor(name)
    return torch.stack([labels == number for number in range(1, int(labels.max()) + 1)], 1).float()


def as_map(rows: Tensor, size: torch.Size) -> Tensor:
    """T*P C rows -> C T h w."""
    return rows.T.unflatten(1, (-1, *size))


class Remembered:
    """The memory frames of a golden file and its last frame, which asks."""

    def __init__(self, network: SpaceTimeMemory, golden: Any) -> None:
        self.masks = objects_of(golden)
        images = network.images(golden.tensor("frames_u8").permute(0, 3, 1, 2))
        self.entries = [network.encode_memory(images[t : t + 1], masks) for t, masks in enumerate(self.masks)]
        self.single = network.encode_memory(images[:1], self.masks[0, :1])[0]
        self.images, self.query = images[-1:], network.encode_query(images[-1:])
        self.size = self.query.key.shape[-2:]

    def of(self, number: int, frames: int) -> MemoryEntry:
        entries = [entry[number] for entry in self.entries[:frames]]
        return MemoryEntry(torch.cat([entry.key for entry in entries]), torch.cat([entry.value for entry in entries]))

    def maps(self, part: str, frames: int) -> Tensor:
        """N C T h w."""
        return torch.stack(
            [as_map(getattr(self.of(number, frames), part), self.size) for number in range(self.masks.shape[1])]
        )

    def read(self, network: SpaceTimeMemory, frames: int, top_k: int | None) -> Tensor:
        entries = [self.of(number, frames) for number in range(self.masks.shape[1])]
        return torch.stack([network.read(self.query, entry.key, entry.value, top_k) for entry in entries])


@pytest.mark.files("components*")
def test_mivos(golden: Any, space_time: Networks) -> None:
    network = space_time("mivos")
    seen = Remembered(network, golden)
    golden.check_features("mem_key_t0", seen.maps("key", 1))
    golden.check_features("mem_val_t0", seen.maps("value", 1))
    golden.check_features("mem_keys_all", seen.maps("key", len(seen.entries)))
    golden.check_features("mem_vals_all", seen.maps("value", len(seen.entries)))
    golden.check_features("mem_key_single_object", as_map(seen.single.key, seen.size)[None])
    golden.check_features("mem_val_single_object", as_map(seen.single.value, seen.size)[None])
    for name, features in zip(("q_f4", "q_f8", "q_f16"), network.query_trunk(seen.images), strict=True):
        golden.check_features(name, features)
    golden.check_features("q_k16", seen.query.key)
    golden.check_features("q_v16", seen.query.value)
    stored = (re.match(r"(read_T(\d+)_(?:top)?(\d+|full_softmax))__shape", name) for name in golden)
    read = sorted({match.groups() for match in stored if match})
    assert len(read) == len([name for name in golden if re.match(r"read_T.*__shape", name)])
    for name, frames, kind in read:
        readouts = seen.read(network, int(frames), int(kind) if kind.isdigit() else None)
        golden.check_features(name, readouts)
        if kind.isdigit():
            golden.check_features(f"decoder_logits_T{frames}_top{kind}", network.decode(seen.query, readouts)[:, None])
    raw = golden.tensor("prob_raw")
    golden.check("agg_wbg_keepbg", joint_probabilities(raw[:, 0])[:, None], 1e-6)


@pytest.mark.files("components*")
def test_what_changed_is_aligned_by_attention(golden: Any, space_time: Networks) -> None:
    network, masks = space_time("mivos"), objects_of(golden)
    images = network.images(golden.tensor("frames_u8").permute(0, 3, 1, 2))
    query = network.encode_query(images[-1:])
    changes = masks[0] - float(golden["attn_prev_mask_scale"]) * masks[1]
    both = torch.stack([changes.clamp_min(0), (-changes).clamp_min(0)], 1)  # N 2 H W
    keys = [entry.key for entry in network.encode_memory(images[:1], masks[0])]
    maps = torch.stack([aligned(query.key, key, maps) for key, maps in zip(keys, both, strict=True)])
    golden.check("attn_maps", maps, 5e-4)


@pytest.mark.files("stm/components*")
def test_stm(golden: Any, space_time: Networks) -> None:
    network = space_time("stm")
    seen = Remembered(network, golden)
    golden.check_features("mem_key_t0_objects", seen.maps("key", 1))
    golden.check_features("mem_val_t0_objects", seen.maps("value", 1))
    for name, features in zip(("q_r2", "q_r3", "q_r4"), network.query_trunk(seen.images), strict=True):
        golden.check_features(name, features)
    golden.check_features("q_key", seen.query.key)
    golden.check_features("q_val", seen.query.value)
    lengths = sorted({int(match[1]) for name in golden if (match := re.match(r"read_T(\d+)__shape", name))})
    assert lengths
    for frames in lengths:
        both = joined(seen.read(network, frames, None), seen.query.value)
        golden.check_features(f"read_T{frames}", both)
        logits = network.decoder(both, seen.query.skips)
        golden.check_features(f"decoder_logits_T{frames}", logits)
        probabilities = one_logit(logits).sigmoid()
        golden.check_features(f"segment_logit_T{frames}", log_odds(probabilities))
        if f"object_prob_T{frames}" in golden:
            golden.check(f"object_prob_T{frames}", probabilities, 5e-4)


@pytest.mark.files("affinity_small*")
def test_affinities(golden: Any, space_time: Networks) -> None:
    """Reading the unit vectors gives the weights themselves."""
    network = space_time("mivos")
    keys = golden.tensor("mem_keys")[0].flatten(1).T
    query = rows(golden.tensor("q_k16")) / np.sqrt(keys.shape[1])
    golden.check("affinity_logits", keys @ query[0].T[None], 2e-5)
    unit = torch.eye(len(keys))[None, None]
    for name, k in (("affinity_top20", 20), ("affinity_top50", 50), ("affinity_full_softmax", None)):
        golden.check(name, read_in_chunks(query, keys[None], unit, k)[0].transpose(1, 2), 1e-6)
    seen = Remembered(network, golden)
    golden.check_features("mem_keys", seen.maps("key", len(seen.entries)))


@pytest.mark.files("read_synthetic*")
def test_reads_of_random_numbers(golden: Any) -> None:
    draws = np.random.Generator(np.random.PCG64(int(golden["pcg64_seed"])))
    keys, query = golden.tensor("mk"), golden.tensor("qk")
    drawn = draws.standard_normal(keys.shape).astype(np.float32) * np.float32(1.5)
    assert np.array_equal(drawn, keys.numpy())
    shape = golden["mv__shape"].tolist()
    values = torch.from_numpy(draws.standard_normal(shape).astype(np.float32))
    golden.check("mv", values, 0)
    asked = rows(query) / np.sqrt(query.shape[1])
    tops = sorted({int(match[1]) for name in golden if (match := re.match(r"read_top(\d+)__shape", name))})
    assert tops
    for k in tops:
        read = read_in_chunks(asked, rows(keys), rows(values)[:, None], k)[:, 0]
        golden.check(f"read_top{k}", read.transpose(1, 2).unflatten(2, query.shape[-2:]), 1e-5)


@pytest.mark.files("aggregate*")
def test_aggregation(golden: Any) -> None:
    counts = sorted(int(match[1]) for name in golden if (match := re.fullmatch(r"k(\d+)_in", name)))
    assert counts
    for count in counts:
        given = golden.tensor(f"k{count}_in")[:, 0]
        for flavour, background in (("wbg", None), ("sbg", 0.5)):
            for kind in ("soft", "hard"):
                joint = joint_probabilities(given, background, hard=kind == "hard")
                golden.check(f"k{count}_{flavour}_{kind}", joint[:, None], 1e-6)
    golden.check("chan_logits", log_odds(golden.tensor("chan_in")), 1e-5)
    golden.check("chan_prob", joint_probabilities(golden.tensor("chan_in")), 1e-6)
