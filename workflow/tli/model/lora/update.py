"""Adapters beside the frozen weights: forward hooks that add (alpha / r) B A x to what a module gives.

Several adapters may be trained in one pass over one copy of the weights. Then every token belongs to one member: the frozen
product runs over all tokens at once, the low-rank updates of the members are one batched product. A member's result depends on
its own tokens and adapter alone, wherever it stands in the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tli.model.device import upload
from tli.model.lora.adapter import Adapter, LoraShape, products
from tli.model.opened import Opened

if TYPE_CHECKING:
    import torch


@contextmanager
def applied(opened: Opened, adapter: Adapter, block: int | None = None) -> Iterator[None]:
    """Within the block every forward pass (of one block of the model, or of all) has the adapter's update in it."""
    with ExitStack() as hooks:
        for _, module, a, b in adapter.places(opened, block):
            hooks.callback(module.register_forward_hook(_hook(lambda x, a=a, b=b: _update(x, a, b), a, adapter.scaling)).remove)
        yield


def _hook(update: Callable, like: Any, scaling: float) -> Callable:
    """A forward hook that adds scaling * update(x), x in the adapter's type, and rounds once to the module's."""

    def add(module: Any, args: tuple, output: Any) -> torch.Tensor:
        return (output + update(args[0].to(like.dtype)) * scaling).to(output.dtype)

    return add


def _update(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return x @ a.mT @ b.mT


class Stack:
    """Adapters in training, as stacked parameters.

    With `seeds` each member has tokens of its own in a pass, given by `lay` before it, and draws its dropout from its own
    generator. Without, there is one member, all tokens are its own, padding too, and its dropout comes from torch's generator.
    """

    def __init__(self, opened: Opened, members: list[dict], shape: LoraShape, seeds: list[int] | None = None):
        """members: the tensors of each (see `tli.model.lora`)."""
        import torch

        self.opened, self.members, self.scaling, self.dropout = opened, len(members), shape.scaling, shape.dropout
        self.laid = seeds is not None
        self.parameters = {name: torch.nn.Parameter(torch.stack([m[name] for m in members])) for name in members[0]}
        cards = {p.device for p in self.parameters.values()}  # of several cards each has generators of its own: they cannot be shared
        self.generators = {card: [torch.Generator(card).manual_seed(seed) for seed in seeds or []] for card in cards}
        self.training = False
        self._lengths: list[int] = []
        self._places: dict[Any, tuple] = {}

    def tensors(self, member: int) -> dict[str, Any]:
        """One member's tensors, copied out."""
        return {name: p.detach()[member].clone() for name, p in self.parameters.items()}

    def lay(self, places: list[list[np.ndarray]], tokens: int) -> None:
        """Say which of the next pass's `tokens` (rows x width, flat) are whose: per member the places of its words."""
        mine = [np.concatenate(words) for words in places]
        self._lengths = [len(p) for p in mine]
        widest = max(self._lengths)
        gather, scatter = np.zeros((self.members, widest), dtype=np.int64), np.zeros(tokens, dtype=np.int64)
        for member, p in enumerate(mine):  # the rest of a member's row repeats token 0, and nobody reads its update
            gather[member, : len(p)] = p
            scatter[p] = member * widest + np.arange(len(p))
        self._places = {card: (upload(gather.ravel(), card), upload(scatter, card)) for card in self.generators}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block every forward pass has the members' updates in it."""
        with ExitStack() as hooks:
            for name, a, b in products(self.parameters):
                module = self.opened.base.get_submodule(name)
                update = self._of_members if self.laid else self._of_one
                hook = _hook(lambda x, a=a, b=b, update=update: update(x, a, b), a, self.scaling)
                hooks.callback(module.register_forward_hook(hook).remove)
            yield

    def _of_one(self, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        if self.training and self.dropout:
            x = functional.dropout(x, self.dropout, training=True)
        return functional.linear(functional.linear(x, a[0]), b[0])

    def _of_members(self, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        import torch

        gather, scatter = self._places[x.device]
        mine = x.reshape(-1, x.shape[-1]).index_select(0, gather).view(self.members, -1, x.shape[-1])
        if self.training and self.dropout:
            mine = mine * self._dropout_factors(mine)
        update = torch.bmm(torch.bmm(mine, a.mT), b.mT).flatten(0, 1).index_select(0, scatter)
        return update.view(*x.shape[:-1], -1)

    def _dropout_factors(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout's factors, drawn by each member's own generator for its own tokens only."""
        import torch

        factors = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
        for row, length, generator in zip(factors, self._lengths, self.generators[x.device], strict=True):
            row[:length].bernoulli_(1 - self.dropout, generator=generator)
        return factors.div_(1 - self.dropout)

    def clip(self, largest: float) -> None:
        """Clip each member's gradient to this norm, as torch.nn.utils.clip_grad_norm_ does for one."""
        import torch

        if not self.laid:
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), largest)
            return
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        if gradients:
            card = gradients[0].device
            squares: Any = sum(g.flatten(1).pow(2).sum(1).to(card) for g in gradients)
            norm = torch.sqrt(squares)
            factor = (largest / (norm + 1e-6)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(factor.to(gradient.device).view(-1, *[1] * (gradient.ndim - 1)))

    def reached(self) -> int:
        """Parameters of one member that have a gradient."""
        return sum(p[0].numel() for p in self.parameters.values() if p.grad is not None)
