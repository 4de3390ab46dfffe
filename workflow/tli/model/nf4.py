"""NF4: four bits a weight (QLoRA, arXiv 2305.14314), as bitsandbytes rounds them.

One rule says which weights those are, for a model that is opened and for one that is streamed: the linear modules of its blocks
that bitsandbytes can hold, torch.nn.Linear itself and GPT-2's Conv1D, and none outside the blocks. What is left out is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tli.errors import ModelError
from tli.log import say
from tli.model.opened import is_transposed

if TYPE_CHECKING:
    import torch

SHARE = 0.9  # of the weights of the blocks; with fewer in 4 bits the model is none in 4 bits
RAW = {"MambaMixer", "FalconMambaMixer"}  # their forward multiplies with the weight of a module that it does not call
BYTES = 0.5 + 4 / 64  # a weight: four bits, and a float32 for every 64


@dataclass(frozen=True)
class Coverage:
    """Which modules of a model are held in 4 bits, and how much of it that is."""

    inside: frozenset[str]  # names of the modules that are
    outside: tuple[str, ...]  # names of linear modules that are not
    weights: int  # values in 4 bits
    others: int  # of the blocks' values, those that are not, vectors left out
    rest: int  # all other values of the model
    kinds: tuple[str, ...]  # classes of what holds the others
    mixers: tuple[str, ...]  # classes of the modules around what is in 4 bits

    @property
    def share(self) -> float:
        return self.weights / max(1, self.weights + self.others)

    def bytes(self, itemsize: int) -> float:
        """What the model takes where other values have `itemsize` bytes."""
        return self.weights * BYTES + (self.others + self.rest) * itemsize


def is_quantizable(module: Any) -> bool:
    """What bitsandbytes replaces by 4 bits; a class of its own that derives from Linear is not."""
    import torch

    return type(module) is torch.nn.Linear or is_transposed(module)


def coverage(model: Any, blocks: Any) -> Coverage:
    """The rule applied to a model, whose weights may be on the meta device; `blocks` is its list of blocks."""
    within = {id(module) for module in blocks.modules()}
    left_out = [re.compile(rf"(^|\.){re.escape(part)}(\.|$)") for part in getattr(model, "_keep_in_fp32_modules", None) or ()]
    inside, outside, kinds = set(), [], set()
    weights = others = 0
    for name, module in model.named_modules():
        fits = is_quantizable(module)
        taken = fits and id(module) in within and not any(part.search(name) for part in left_out)
        if taken:
            inside.add(name)
            weights += module.weight.numel()
        elif fits:
            outside.append(name)
        if id(module) in within:
            large = [p for n, p in module.named_parameters(recurse=False) if p.ndim > 1 and not (taken and n == "weight")]
            others += sum(p.numel() for p in large)
            kinds |= {type(module).__name__} if large else set()
    rest = sum(p.numel() for p in model.parameters()) - weights - others
    around = {type(model.get_submodule(name.rpartition(".")[0])).__name__ for name in inside}
    return Coverage(frozenset(inside), tuple(outside), weights, others, rest, tuple(sorted(kinds)), tuple(sorted(around)))


def assert_covered(covered: Coverage, source: str) -> None:
    """Say how much of a model is held in 4 bits. Raises ModelError below SHARE."""
    raw = RAW & set(covered.mixers)
    if raw:
        raise ModelError(
            f"{source}: {', '.join(sorted(raw))} takes the weights of its linear modules by themselves, which 4 bits do not give; set quantization: none"
        )
    if covered.share < SHARE:
        raise ModelError(
            f"{source}: only {covered.share:.0%} of the weights of its blocks can be held in NF4 (not those in {', '.join(covered.kinds)}), "
            f"{SHARE:.0%} are needed for a model to be called one in 4 bits; set quantization: none"
        )
    note = f"; the rest are in {', '.join(covered.kinds)}" if covered.kinds else ""
    say(f"NF4: {covered.share:.1%} of the weights of the blocks of {source} are held in 4 bits{note}")


def rounded(weight: torch.Tensor, module: Any) -> torch.Tensor:
    """The values that NF4 keeps of a linear module's weight: bitsandbytes' blocks of 64, no double quantisation."""
    from bitsandbytes import functional

    weight = weight.T if is_transposed(module) else weight  # bitsandbytes turns it around before it cuts it into blocks
    packed, state = functional.quantize_4bit(weight.contiguous(), blocksize=64, compress_statistics=False, quant_type="nf4")
    values = functional.dequantize_4bit(packed, state).view(weight.shape)
    return values.T if is_transposed(module) else values


def replaced(parameter: Any, weight: torch.Tensor) -> Any:
    """A 4-bit parameter like `parameter` that holds `weight`, rounded anew."""
    from bitsandbytes.nn import Params4bit

    options = {name: value for name, value in parameter.__dict__.items() if not name.startswith("_") and name != "data"}
    made: Any = Params4bit(weight, **options | {"bnb_quantized": False, "requires_grad": False})
    return made.to(parameter.device)


def dequantized(parameter: Any) -> torch.Tensor:
    """The values of a 4-bit parameter, in the type the model had before."""
    from bitsandbytes import functional

    return functional.dequantize_4bit(parameter.data, parameter.quant_state)


def guard_cpu(model: Any) -> None:
    """Bitsandbytes repacks 4-bit layers on CPUs with AVX512-BF16 at the first eval forward; from then on the outputs are
    off and LoRA gets no gradient, without an error. In place.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
