"""Several LoRA adapters on one copy of the frozen weights, in one forward pass.

Every token belongs to one member. The frozen product runs over all tokens at once; the low-rank updates of the members
are one batched product. A member's result depends on its own tokens and adapter alone, wherever it stands in the stack.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tli.errors import ModelError
from tli.model import adapters
from tli.model.opening import Opened


def initial(opened: Opened, *, rank: int, target_modules: list[str], blocks: int, seed: int, **_) -> dict:
    """A fresh adapter's tensors by name: to the bit those that `tli.model.adapters.attach` makes from this seed.

    Drawn here in PEFT's order instead of by PEFT, whose import takes longer than training a small model.
    """
    import torch

    torch.manual_seed(seed)
    tensors = {}
    for name in adapters.target_names(opened, target_modules, blocks):
        inner, outer = sides(opened.base.get_submodule(name))
        a, b = torch.nn.Linear(inner, rank, bias=False), torch.nn.Linear(rank, outer, bias=False)
        torch.nn.init.kaiming_uniform_(a.weight, a=5**0.5)
        tensors[f"{name}.lora_A.{adapters.NAME}.weight"] = a.weight.detach().to(opened.device)
        tensors[f"{name}.lora_B.{adapters.NAME}.weight"] = torch.zeros_like(b.weight, device=opened.device)
    return tensors


def sides(module) -> tuple[int, int]:
    """Width of what goes into a linear module, and of what comes out."""
    return tuple(module.weight.shape) if type(module).__name__ == "Conv1D" else (module.in_features, module.out_features)


@dataclass(frozen=True)
class Adapter:
    """A saved adapter, ready to be applied without PEFT."""

    tensors: dict  # by the names of `tli.model.adapters.parameters`
    scaling: float

    def places(self, opened: Opened, block: int | None = None) -> list[tuple]:
        """(module, A, B) of each adapted module, or of those in one block."""
        found = []
        for name, a in self.tensors.items():
            if ".lora_A." in name:
                module = opened.base.get_submodule(name.split(".lora_A.")[0])
                if block is None or any(module is m for m in opened.blocks[block].modules()):
                    found.append((module, a, self.tensors[name.replace(".lora_A.", ".lora_B.")]))
        return found


def read(opened: Opened, folder: Path) -> Adapter:
    """A saved PEFT folder as an Adapter for `opened`.

    Raises ModelError when a tensor of the file has no place in the model, or a place gets no tensor.
    """
    from safetensors.torch import load_file

    config = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    file = Path(folder) / "adapter_model.safetensors"
    stored = load_file(str(file), device=str(opened.device))
    rank, tensors, expected = config["r"], {}, {}
    for name in adapters.target_names(opened, config["target_modules"], len(config["layers_to_transform"])):
        inner, outer = sides(opened.base.get_submodule(name))
        for side, shape in (("A", (rank, inner)), ("B", (outer, rank))):
            expected[f"base_model.model.{opened.prefix}{name}.lora_{side}.weight"] = shape
            tensors[f"{name}.lora_{side}.{adapters.NAME}.weight"] = f"base_model.model.{opened.prefix}{name}.lora_{side}.weight"
    odd = sorted(name for name in {*expected, *stored} if name not in stored or tuple(stored[name].shape) != expected.get(name))
    if odd:
        raise ModelError(f"{file}: does not fit the model ({len(odd)} tensors without counterpart of their shape, {odd[0]} first)")
    return Adapter({own: stored[name] for own, name in tensors.items()}, config["lora_alpha"] / rank)


@contextmanager
def applied(opened: Opened, adapter: Adapter, block: int | None = None) -> Iterator[None]:
    """Within the block every forward pass (of one block, or of all) has the adapter's update in it."""
    handles = []
    try:
        for module, a, b in adapter.places(opened, block):
            handles.append(module.register_forward_hook(_update(a, b, adapter.scaling)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _update(a, b, scaling: float):
    def add(module, args, output):
        update = args[0].to(a.dtype) @ a.T @ b.T
        return (output + update * scaling).to(output.dtype)

    return add


@contextmanager
def worn(opened: Opened, tensors: dict, **lora) -> Iterator[None]:
    """Within the block `opened` wears this adapter as an ordinary PEFT one, to be saved or measured."""
    tuner = adapters.attach(opened, **lora, seed=0)
    try:
        for name, parameter in adapters.parameters(opened).items():
            parameter.data.copy_(tensors[name])
        yield
    finally:
        adapters.detach(tuner)


class Stack:
    """The members' adapters as stacked parameters, and the hooks that add their updates."""

    def __init__(self, opened: Opened, members: list[dict], scaling: float, dropout: float = 0.0, seeds: list[int] | None = None):
        """members: the tensors of each, by the names of `tli.model.adapters.parameters`. seeds: of each one's dropout."""
        import torch

        self.opened, self.scaling, self.dropout, self.members = opened, scaling, dropout, len(members)
        self.parameters = {name: torch.nn.Parameter(torch.stack([m[name] for m in members])) for name in members[0]}
        self.generators = [torch.Generator(opened.device).manual_seed(seed) for seed in seeds or range(len(members))]
        self.training = False
        self._lengths, self._gather, self._scatter = None, None, None

    def tensors(self, member: int) -> dict:
        """One member's tensors, copied out."""
        return {name: p.detach()[member].clone() for name, p in self.parameters.items()}

    def lay(self, places: list[list[np.ndarray]], tokens: int) -> None:
        """Say which of the next pass's `tokens` (rows x width, flat) are whose: per member the places of its words."""
        import torch

        own = [np.concatenate(p) for p in places]
        self._lengths = [len(p) for p in own]
        if self.members == 1:
            self._gather = torch.from_numpy(own[0]).to(self.opened.device)
            self._scatter = _inverse(own, tokens, len(own[0]), self.opened.device)
            return
        widest = max(self._lengths)
        gather = np.zeros((self.members, widest), dtype=np.int64)
        for row, mine in zip(gather, own, strict=True):
            row[: len(mine)] = mine
        self._gather = torch.from_numpy(gather.ravel()).to(self.opened.device)
        self._scatter = _inverse(own, tokens, widest, self.opened.device)

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Within the block every forward pass has the members' updates in it."""
        handles = []
        try:
            for name in self.parameters:
                if ".lora_A." in name:
                    module = self.opened.base.get_submodule(name.split(".lora_A.")[0])
                    a, b = self.parameters[name], self.parameters[name.replace(".lora_A.", ".lora_B.")]
                    handles.append(module.register_forward_hook(self._hook(a, b)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, a, b):
        import torch

        def add_update(module, args, output):
            x = args[0]
            own = x.reshape(-1, x.shape[-1]).index_select(0, self._gather).view(self.members, -1, x.shape[-1]).to(a.dtype)
            if self.training and self.dropout:
                own = own * self._kept(own)
            update = torch.bmm(torch.bmm(own, a.mT), b.mT).flatten(0, 1).index_select(0, self._scatter)
            return (output + (update * self.scaling).view(output.shape)).to(output.dtype)

        return add_update

    def _kept(self, own):
        """Dropout's factors, drawn by each member's own generator for its own tokens only."""
        import torch

        kept = torch.zeros(own.shape, dtype=own.dtype, device=own.device)
        for row, length, generator in zip(kept, self._lengths, self.generators, strict=True):
            row[:length].bernoulli_(1 - self.dropout, generator=generator)
        return kept.div_(1 - self.dropout)

    def clip(self, largest: float) -> None:
        """Clip each member's gradient to this norm, as torch.nn.utils.clip_grad_norm_ does for one."""
        import torch

        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        if gradients:
            norm = torch.sqrt(sum(g.flatten(1).pow(2).sum(1) for g in gradients))
            factor = (largest / (norm + 1e-6)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))


def _inverse(own: list[np.ndarray], tokens: int, widest: int, device):
    """For every place of the pass, where its update stands in [members * widest]; padding takes any, nobody reads it."""
    import torch

    result = np.zeros(tokens, dtype=np.int64)
    for member, mine in enumerate(own):
        result[mine] = member * widest + np.arange(len(mine))
    return torch.from_numpy(result).to(device)


def has_own_dropout(opened: Opened) -> bool:
    """Whether the model itself draws random numbers in training; such draws cannot be kept apart by member."""
    import torch

    config = opened.base.config.get_text_config()
    within = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in opened.base.modules())
    return within or any(getattr(config, key, 0) for key in ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob"))
