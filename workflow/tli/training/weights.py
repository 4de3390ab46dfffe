"""Full fine-tuning: all weights of the opened model are what is trained, and are put back for the next seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tli.model.opened import Opened


class AllWeights:
    """The opened model's parameters, as tli.training.loop trains them: always one run, in place."""

    members, laid = 1, False

    def __init__(self, opened: Opened):
        self.opened, self.training = opened, False
        self.parameters = dict(opened.base.named_parameters())
        self.initial = {name: p.detach().to("cpu", copy=True) for name, p in self.parameters.items()}

    @contextmanager
    def free(self) -> Iterator[None]:
        """Within the block the weights may be trained; afterwards they are frozen again and what they were."""
        self.opened.base.requires_grad_(True)
        try:
            yield
        finally:
            self.opened.base.requires_grad_(False)
            self.restore()

    def restore(self) -> None:
        """Put the weights back to where they were at the start."""
        for name, value in self.initial.items():
            self.parameters[name].data.copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The weights are in their place anyway."""
        yield

    def lay(self, places: list[list[np.ndarray]], tokens: int) -> None:
        """There is one run: every token is its own."""

    def clip(self, largest: float) -> None:
        import torch

        torch.nn.utils.clip_grad_norm_(self.parameters.values(), largest)

    def reached(self) -> int:
        """Parameters that have a gradient."""
        return sum(p.numel() for p in self.parameters.values() if p.grad is not None)
