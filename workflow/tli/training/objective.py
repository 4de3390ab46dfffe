"""Contrastive losses: pooled vectors of a batch of pairs in, one scalar out.

All take `anchors` and `positives` [b, d] (row i of both is pair i; the other rows' positives are its negatives) and
`accepted`, bool [b, b], True where column j's target is an accepted translation of anchor i: such cells are no
negatives. The diagonal always counts as accepted. An identity matrix masks nothing else: the in-batch negatives as
published. All return (loss, per_row): the mean over the batch, and its b terms. A row without a negative left adds zero
to the sum and one to the count; `without_negative` says how many there are.
"""

from __future__ import annotations

import torch
from torch.nn import functional

NAMES = ("triplet-hardest", "triplet-all", "infonce")


def loss(
    name: str,
    anchors: torch.Tensor,
    positives: torch.Tensor,
    accepted: torch.Tensor,
    *,
    margin: float = 0.4,
    temperature: float = 0.05,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of that name, one of NAMES (else ValueError); `margin` serves the triplets, `temperature` InfoNCE."""
    if name == "infonce":
        return infonce(anchors, positives, accepted, temperature)
    if name not in NAMES:
        raise ValueError(f"objective {name!r} is unknown: choose one of {', '.join(NAMES)}")
    return triplet(anchors, positives, accepted, margin, name.removeprefix("triplet-"))


def triplet(
    anchors: torch.Tensor,
    positives: torch.Tensor,
    accepted: torch.Tensor,
    margin: float = 0.4,
    negatives: str = "hardest",
) -> tuple[torch.Tensor, torch.Tensor]:
    """max(0, margin + cos(a, n) - cos(a, p)), arXiv 2506.15415.

    `negatives`: "hardest" takes the negative most similar to the anchor (the paper), "all" the mean over all of them.
    """
    cosines, masked = _cosines(anchors, positives, accepted)
    right = cosines.diagonal()
    if negatives == "hardest":
        hardest = cosines.masked_fill(masked, -torch.inf).max(dim=1).values
        per_row = functional.relu(margin + hardest - right)
    elif negatives == "all":
        terms = functional.relu(margin + cosines - right[:, None]).masked_fill(masked, 0)
        per_row = terms.sum(dim=1) / (~masked).sum(dim=1).clamp(min=1)
    else:
        raise ValueError(f"negatives {negatives!r} is unknown: choose hardest or all")
    return per_row.mean(), per_row


def infonce(
    anchors: torch.Tensor, positives: torch.Tensor, accepted: torch.Tensor, temperature: float = 0.05
) -> tuple[torch.Tensor, torch.Tensor]:
    """-log of the softmax of cos / temperature at the pair's own target, from anchor to target (arXiv 1807.03748)."""
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}: it must be above 0")
    cosines, masked = _cosines(anchors, positives, accepted)
    others = masked & ~torch.eye(len(masked), dtype=torch.bool, device=masked.device)
    logits = (cosines / temperature).masked_fill(others, -torch.inf)
    per_row = functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="none")
    return per_row.mean(), per_row


def without_negative(accepted: torch.Tensor) -> int:
    """How many rows of `accepted` [b, b] have no negative left."""
    eye = torch.eye(len(accepted), dtype=torch.bool, device=accepted.device)
    return int((accepted | eye).all(dim=1).sum())


def _cosines(anchors: torch.Tensor, positives: torch.Tensor, accepted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines [b, b] in float32 or finer, whatever autocast says, and the mask with its diagonal."""
    size = len(anchors)
    if anchors.shape != positives.shape or anchors.ndim != 2 or accepted.shape != (size, size):
        shapes = f"anchors {tuple(anchors.shape)}, positives {tuple(positives.shape)}, accepted {tuple(accepted.shape)}"
        raise ValueError(f"shapes do not fit: {shapes}; expected [b, d], [b, d] and [b, b]")
    precision = torch.promote_types(anchors.dtype, torch.float32)
    with torch.autocast(anchors.device.type, enabled=False):
        cosines = _unit(anchors.to(precision)) @ _unit(positives.to(precision)).T
    eye = torch.eye(size, dtype=torch.bool, device=anchors.device)
    return cosines, accepted.to(device=anchors.device, dtype=torch.bool) | eye


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return functional.normalize(vectors, dim=1, eps=1e-8)
