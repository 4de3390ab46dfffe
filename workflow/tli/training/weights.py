"""Full fine-tuning: all weights of the opened model are what is trained, and are put back for the next seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tli.model import packing
from tli.model.opened import Opened
from tli.model.states import capture, run


def below(opened: Opened, layer: int, ids: tuple[int, ...]) -> set[str]:
    """Names of the parameters on which hs[layer] of a word depends: a model that is open beyond it has others too."""
    import torch

    parameters = dict(opened.base.named_parameters())
    opened.base.requires_grad_(True)
    try:
        with torch.enable_grad(), capture(opened, [layer]) as states:
            run(opened, packing.inputs(packing.equal_lengths([ids])[0], opened.device, opened.dtype))
            found = torch.autograd.grad(states[layer].float().square().sum(), list(parameters.values()), allow_unused=True)
    finally:
        opened.base.requires_grad_(False)
    return {name for name, gradient in zip(parameters, found, strict=True) if gradient is not None}


class AllWeights:
    """The opened model's parameters, as tli.training.loop trains them: always one run, in place."""

    members, laid = 1, False

    def __init__(self, opened: Opened, names: set[str] | None = None):
        """names: the parameters that are trained; by default all."""
        self.opened, self.training = opened, False
        self.parameters = {name: p for name, p in opened.base.named_parameters() if names is None or name in names}
        self.initial = {name: p.detach().to("cpu", copy=True) for name, p in self.parameters.items()}

    @contextmanager
    def free(self) -> Iterator[None]:
        """Within the block the weights may be trained; afterwards they are frozen again and what they were."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
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
