"""An adapter as part of the weights: W + (alpha / r) B A, rounded to what the weights are held in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tli.model import nf4
from tli.model.lora.adapter import Adapter
from tli.model.opened import Opened, is_transposed


@contextmanager
def merged(opened: Opened, adapter: Adapter, block: int | None = None) -> Iterator[None]:
    """Within the block the adapter is merged into the weights (of one block of the model, or of all); afterwards they are what
    they were, to the bit.

    NF4 weights are rounded anew: a part of the adapter is lost in it (PEFT issues 2321, 1043).
    """
    before = []
    try:
        for name, module, a, b in adapter.places(opened, block):
            update = (b.float() @ a.float() * adapter.scaling).to(module.weight.device)
            weight = module.weight
            if hasattr(weight, "quant_state"):
                before.append((module, weight, None))
                module.weight = nf4.replaced(weight, nf4.dequantized(weight) + update)
                continue
            before.append((module, weight, weight.data))
            total = weight.data.float() + (update.T if is_transposed(module) else update)
            in_4_bits = opened.stream is not None and name in opened.stream.nf4
            weight.data = (nf4.rounded(total, module) if in_4_bits else total).to(weight.dtype)
        yield
    finally:
        for module, weight, data in before:
            if data is not None:
                weight.data = data
            module.weight = weight
