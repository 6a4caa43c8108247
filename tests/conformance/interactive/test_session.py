"""Interactive sessions of several rounds against the golden figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from univs.interactive.fusion import Fusion, TwoMasks, learned
from univs.interactive.session import Session, with_background
from univs.models.fusion import FusionNetwork
from univs.models.space_time_memory import SpaceTimeMemory, aligned

pytestmark = pytest.mark.conformance


class Watched:
    """A fusion that is compared with the recorded one, frame by frame."""

    def __init__(self, golden: Any, fusion: Fusion) -> None:
        self.golden, self._fusion, self.round, self.session = golden, fusion, 0, None
        self.log: list[list[int]] = []

    def __call__(self, masks: TwoMasks) -> Tensor:
        log = self.golden["fuse_log_round_tc_tr_ti"][len(self.log)].tolist()
        number, bound, start, frame = log
        self.log.append([self.round, bound, start, frame])
        distance = abs(bound - start)
        assert masks.shares.to_previous == pytest.approx(abs(bound - frame) / distance)
        assert masks.shares.to_current == pytest.approx(abs(start - frame) / distance)
        name = f"r{number}_fuse_t{frame}"
        self.golden.check(f"{name}_curr", with_background(masks.current)[:, None], 5e-4)
        self.golden.check(f"{name}_prev", with_background(masks.previous)[:, None], 5e-4)
        assert masks.seen is not None
        for row, change in enumerate(masks.changes, start=1):
            assert change.key is not None
            maps = aligned(masks.seen.query.key, change.key, torch.stack([change.positive, change.negative]))
            self.golden.check(f"{name}_attn{row}", maps[None], 5e-4)
        return self._fusion(masks)


@pytest.fixture(scope="module")
def fusion(golden_tensors: Callable[[str], dict[str, Tensor]]) -> FusionNetwork:
    network = FusionNetwork().eval().requires_grad_(False)
    network.load_state_dict(golden_tensors("fusion_network"))
    return network


def noted(told: list[tuple[int, int]], done: int, total: int) -> None:
    told.append((done, total))


@pytest.mark.files("session_*")
def test_rounds(golden: Any, space_time: Callable[[str], SpaceTimeMemory], fusion: FusionNetwork) -> None:
    rounds = sorted(int(match[1]) for name in golden if (match := re.fullmatch(r"r(\d+)_frame", name)))
    count = int(golden["r1_prob_t0__shape"][0]) - 1
    watched = Watched(golden, learned(fusion))
    with Session(space_time("mivos"), list(golden["frames_u8"]), fusion=watched, size=0) as session:
        for _ in range(count):
            session.add_object()
        for number in rounds:
            watched.round = number
            start, labels = int(golden[f"r{number}_frame"]), golden[f"r{number}_mask_idx"]
            session.interact(start, {one: labels == one for one in range(1, count + 1)})
            state = session.workspace.history.now
            keys = session.carrier.keys(session.frames, session._certain(state), start)
            changed = session._changes(state, start, keys)
            for kind, name in (("positive", "pos"), ("negative", "neg")):
                maps = torch.stack([getattr(changed[one], kind) for one in range(1, count + 1)])
                shape = tuple(golden[f"r{number}_{name}_diff__shape"])
                step = int(golden[f"r{number}_{name}_diff__stride"])
                both = torch.zeros(shape)
                both[1:, 0] = maps
                first = -(-maps[0].numel() // step)  # the background's are not made
                ours = both.reshape(-1)[::step][first:]
                torch.testing.assert_close(
                    ours[: len(golden[f"r{number}_{name}_diff__sub"]) - first],
                    golden.tensor(f"r{number}_{name}_diff__sub")[first:],
                    atol=5e-4,
                    rtol=0,
                )
            told: list[tuple[int, int]] = []
            assert session.propagate(progress=partial(noted, told))
            total = int(golden[f"r{number}_total_cb"][0])
            assert told == [(done, total) for done in range(1, total + 1)]
            assert len(session.interacted) == int(golden[f"r{number}_certain_mem_T"])
            for index in range(len(golden["frames_u8"])):
                joint = with_background(torch.stack(list(session.probabilities(index).values())))
                golden.check(f"r{number}_prob_t{index}", joint[:, None], 5e-4)
            found = np.stack([result.labels for result in session.results()])
            assert float((found != golden.labels(f"r{number}_masks")).mean()) <= 1e-3
    assert watched.log == golden["fuse_log_round_tc_tr_ti"].tolist()
