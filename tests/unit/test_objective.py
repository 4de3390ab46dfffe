"""objective: losses against a plain loop, torch's own losses and numeric gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tli.training import objective


def batch(b=6, d=5, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    anchors = torch.randn(b, d, generator=generator, dtype=dtype)
    positives = anchors * 0.4 + torch.randn(b, d, generator=generator, dtype=dtype)
    return anchors, positives * 7


def mask(b=6, seed=0):
    """Repeated sources, two targets accepted for another's anchor, and a row without any negative."""
    accepted = torch.rand(b, b, generator=torch.Generator().manual_seed(seed)) < 0.2
    accepted[-1] = True
    return accepted | torch.eye(b, dtype=torch.bool)


def plain(name, anchors, positives, accepted, margin=0.4, temperature=0.05):
    a, p = anchors.double().numpy(), positives.double().numpy()
    rows = []
    for i in range(len(a)):
        cos = [a[i] @ p[j] / math.sqrt((a[i] @ a[i]) * (p[j] @ p[j])) for j in range(len(p))]
        wrong = [cos[j] for j in range(len(p)) if not accepted[i, j] and j != i]
        if not wrong:
            rows.append(0.0)
        elif name == "triplet-hardest":
            rows.append(max(0.0, margin + max(wrong) - cos[i]))
        elif name == "triplet-all":
            rows.append(sum(max(0.0, margin + w - cos[i]) for w in wrong) / len(wrong))
        else:
            rows.append(-math.log(math.exp(cos[i] / temperature) / sum(math.exp(c / temperature) for c in [cos[i], *wrong])))
    return np.array(rows)


@pytest.mark.parametrize("name", objective.NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_losses_are_the_plain_loop(name, seed):
    anchors, positives = batch(seed=seed)
    for accepted in (torch.eye(6, dtype=torch.bool), mask(seed=seed)):
        loss, rows = objective.loss(name, anchors, positives, accepted, margin=0.3, temperature=0.2)
        expected = plain(name, anchors, positives, accepted, 0.3, 0.2)
        np.testing.assert_allclose(rows.numpy(), expected, atol=2e-6)
        assert loss.item() == pytest.approx(expected.mean(), abs=2e-6)  # a row without a negative is in the mean
        bare = accepted & ~torch.eye(6, dtype=torch.bool)  # the diagonal counts as accepted, said or not
        assert torch.equal(objective.loss(name, anchors, positives, bare, margin=0.3, temperature=0.2)[1], rows)
    assert objective.without_negative(mask(seed=seed)) >= 1 and rows[-1] == 0


def test_mask_changes_the_hardest_negative():
    anchors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    positives = torch.tensor([[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]])
    rows = objective.triplet(anchors, positives, torch.eye(3, dtype=torch.bool))[1]
    assert rows.tolist() == pytest.approx([0.4 + 1 - 0.8, 0.4 + 1 - 0, 0.0], abs=1e-6)
    accepted = torch.eye(3, dtype=torch.bool)
    accepted[0, 1] = accepted[1, 2] = True
    rows = objective.triplet(anchors, positives, accepted)[1]
    assert rows.tolist() == pytest.approx([0.0, 0.4 + 0.6 - 0, 0.0], abs=1e-6)


def test_triplet_of_two_pairs_is_torchs_triplet_margin_loss():
    anchors, positives = batch(2, 8)
    distance = torch.nn.TripletMarginWithDistanceLoss(
        distance_function=lambda x, y: 1 - torch.nn.functional.cosine_similarity(x, y), margin=0.4
    )
    expected = distance(anchors, positives, positives.flip(0))  # the only other one is the hardest
    for name in ("triplet-hardest", "triplet-all"):
        found = objective.loss(name, anchors, positives, torch.eye(2, dtype=torch.bool))[0]
        assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    assert expected > 0


def test_infonce_is_cross_entropy():
    anchors, positives = batch(8, 16)
    logits = torch.nn.functional.cosine_similarity(anchors[:, None], positives[None], dim=2) / 0.1
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(8))
    assert objective.infonce(anchors, positives, torch.eye(8, dtype=torch.bool), 0.1)[0].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("name", objective.NAMES)
def test_gradients_are_the_numeric_ones(name):
    anchors, positives = (x.requires_grad_() for x in batch(dtype=torch.float64))
    accepted = mask()
    assert torch.autograd.gradcheck(lambda a, p: objective.loss(name, a, p, accepted, temperature=0.5)[0], (anchors, positives))


@pytest.mark.parametrize("name", objective.NAMES)
@pytest.mark.parametrize("value", [1.0, 0.0])
@pytest.mark.parametrize("accepted", [torch.eye(4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool)])
def test_identical_and_zero_vectors_keep_gradients_finite(name, value, accepted):
    anchors = torch.full((4, 3), value, requires_grad=True)
    positives = torch.full((4, 3), value, requires_grad=True)
    loss, rows = objective.loss(name, anchors, positives, accepted)
    loss.backward()
    assert torch.isfinite(anchors.grad).all() and torch.isfinite(positives.grad).all()
    if accepted.all():
        assert rows.tolist() == [0.0] * 4 and objective.without_negative(accepted) == 4
    else:
        assert loss.item() == pytest.approx(math.log(4) if name == "infonce" else 0.4)


@pytest.mark.parametrize("name", objective.NAMES)
def test_accepted_cells_send_no_gradient(name):
    anchors, positives = batch()
    positives.requires_grad_()
    accepted = torch.eye(6, dtype=torch.bool)
    accepted[:, 3] = True
    objective.loss(name, anchors, positives, accepted)[1][[0, 1, 2, 4, 5]].sum().backward()
    assert (positives.grad[3] == 0).all()
    assert (positives.grad[[0, 1, 2, 4, 5]] != 0).any()


def test_half_precision_is_compared_in_float32_even_under_autocast():
    anchors, positives = (x.to(torch.bfloat16) for x in batch(6, 64))
    accepted = torch.eye(6, dtype=torch.bool)
    expected = plain("triplet-hardest", anchors, positives, accepted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, rows = objective.triplet(anchors, positives, accepted)
    assert rows.dtype == torch.float32 and loss.item() == pytest.approx(expected.mean(), abs=1e-6)


def test_wrong_arguments_are_refused():
    anchors, positives = batch()
    accepted = mask()
    with pytest.raises(ValueError, match="triplet-hardest, triplet-all, infonce"):
        objective.loss("contrastive", anchors, positives, accepted)
    with pytest.raises(ValueError, match="hardest or all"):
        objective.triplet(anchors, positives, accepted, negatives="some")
    with pytest.raises(ValueError, match="above 0"):
        objective.infonce(anchors, positives, accepted, 0)
    with pytest.raises(ValueError, match="shapes do not fit"):
        objective.triplet(anchors, positives[:3], accepted)
