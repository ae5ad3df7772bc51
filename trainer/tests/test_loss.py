import math

import pytest
import torch

from polar.loss import group_losses, margins, ranked_right


def test_loss_is_the_mean_over_negatives_of_minus_log_sigmoid_of_the_margin() -> None:
    scores = torch.tensor([[1.0, 0.0, 3.0], [0.5, 0.5, -0.5]])
    want = [
        (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2,
        (math.log(2) + math.log(1 + math.exp(-1))) / 2,
    ]
    assert group_losses(scores).tolist() == pytest.approx(want, rel=1e-6)


def test_loss_stays_finite_for_huge_margins() -> None:
    assert group_losses(torch.tensor([[-1e4, 1e4]])).tolist() == [2e4]
    assert group_losses(torch.tensor([[1e4, -1e4]])).tolist() == [0.0]


def test_gradient_pushes_the_positive_up_and_the_negative_down_by_the_same_amount() -> None:
    scores = torch.tensor([[0.3, -0.2]], requires_grad=True)
    group_losses(scores).sum().backward()
    assert scores.grad is not None
    want = 1 / (1 + math.exp(0.5))
    assert scores.grad.tolist()[0] == pytest.approx([-want, want], rel=1e-6)


def test_half_precision_scores_are_compared_in_full_precision() -> None:
    assert group_losses(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32
    assert margins(torch.zeros(1, 3, dtype=torch.float16)).dtype == torch.float32


def test_a_tie_counts_one_half() -> None:
    assert ranked_right(torch.tensor([[1.0, 1.0, 0.0, 2.0]])).tolist() == [pytest.approx(0.5)]
