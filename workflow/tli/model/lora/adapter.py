"""What an adapter is: its shape, the modules it sits on, its tensors at the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tli.errors import ModelError
from tli.model.opened import Opened, is_linear, sides
from tli.specs import ALL_LINEAR

A, B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class LoraShape:
    """Where adapters sit and how large they are."""

    rank: int
    alpha: float
    dropout: float
    target_modules: tuple[str, ...]
    blocks: int  # the first so many carry an adapter

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank


@dataclass(frozen=True)
class Adapter:
    """One adapter's tensors by name, and alpha / r."""

    tensors: dict[str, Any]
    scaling: float

    def places(self, opened: Opened, block: int | None = None) -> Iterator[tuple]:
        """(its name, module, A, B) of each adapted module, or of those in one block."""
        inside = None if block is None else {id(module) for module in opened.blocks[block].modules()}
        for name, a, b in products(self.tensors):
            module = opened.base.get_submodule(name)
            if inside is None or id(module) in inside:
                yield name, module, a, b


def products(tensors: dict[str, Any]) -> Iterator[tuple]:
    """(module's name, A, B) of an adapter's tensors, single or stacked."""
    for name, a in tensors.items():
        if name.endswith(A):
            module = name.removesuffix(A)
            yield module, a, tensors[module + B]


def target_names(opened: Opened, target_modules: tuple[str, ...], blocks: int) -> list[str]:
    """Full names, below `opened.base`, of the modules that get an adapter. Raises ModelError."""
    inside = {id(m): i for i, block in enumerate(opened.blocks) for m in block.modules()}
    linear = {name: inside[id(module)] for name, module in opened.base.named_modules() if id(module) in inside and is_linear(module)}
    if target_modules == (ALL_LINEAR,):
        return [name for name, block in linear.items() if block < blocks]
    for target in target_modules:
        if not any(name.endswith("." + target) for name in linear):
            there = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise ModelError(f"target_modules: no block has a module {target!r}; this model's are {', '.join(there)}")
    return [n for n, block in linear.items() if block < blocks and any(n.endswith("." + t) for t in target_modules)]


def initial(opened: Opened, shape: LoraShape, seed: int) -> dict[str, Any]:
    """A fresh adapter's tensors, beside the weights they adapt: to the bit those that PEFT makes after torch.manual_seed(seed).

    PEFT itself is not imported: that takes longer than training a small model.
    """
    import torch

    torch.manual_seed(seed)
    tensors = {}
    for name in target_names(opened, shape.target_modules, shape.blocks):
        module = opened.base.get_submodule(name)
        inner, outer = sides(module)
        a, b = torch.nn.Linear(inner, shape.rank, bias=False), torch.nn.Linear(shape.rank, outer, bias=False)
        torch.nn.init.kaiming_uniform_(a.weight, a=5**0.5)
        tensors[name + A] = a.weight.detach().to(opened.beside(module))
        tensors[name + B] = torch.zeros_like(b.weight, device=opened.beside(module))
    return tensors
