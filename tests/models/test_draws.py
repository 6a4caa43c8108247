from __future__ import annotations

import torch

from univs.models.draws import TorchDraws


def test_draws_of_a_generator_can_be_repeated() -> None:
    first, second = (TorchDraws(torch.Generator().manual_seed(3)) for _ in range(2))
    for _ in range(2):
        order, numbers = first.permutation(50), first.uniform(2, 40, 3)
        assert torch.equal(order, second.permutation(50)) and torch.equal(numbers, second.uniform(2, 40, 3))
        below_six = first.integers(6, 60)
        assert torch.equal(below_six, second.integers(6, 60)) and below_six.unique().tolist() == [*range(6)]
        assert order.sort().values.tolist() == list(range(50)) != order.tolist()
        assert numbers.shape == (2, 40, 3) and 0 <= float(numbers.min()) < 0.1 and 0.9 < float(numbers.max()) < 1
    assert not torch.equal(first.permutation(50), order)


def test_without_a_generator_the_common_one_is_asked() -> None:
    torch.manual_seed(5)
    want = torch.randperm(9), torch.rand(4, 2), torch.randint(5, (8,))
    torch.manual_seed(5)
    assert torch.equal(TorchDraws().permutation(9), want[0]) and torch.equal(TorchDraws().uniform(4, 2), want[1])
    assert torch.equal(TorchDraws().integers(5, 8), want[2])
