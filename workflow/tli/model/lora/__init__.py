"""LoRA, the one place: h = W x + (alpha / r) B A x (arXiv 2106.09685).

x [tokens, in], W [out, in] frozen, A [r, in] drawn at random, B [out, r] zero at the start, both float32; dropout acts on the
x of A alone. An adapter is a dict of tensors, `<module below the base>.lora_A.weight` and `... .lora_B.weight`; adapters that
are trained together have a first axis more, [members, r, in] and [members, out, r]. On disk it is a folder as PEFT writes it.

    adapter   what an adapter is, where it sits, how it starts
    update    put on an opened model beside its weights: one adapter to measure, one or many to train
    merging   added to the weights themselves, and taken off to the bit
    folder    written and read
"""

from tli.model.lora.adapter import Adapter, LoraShape, initial, target_names
from tli.model.lora.folder import read, save
from tli.model.lora.merging import merged
from tli.model.lora.update import Stack, applied

__all__ = ["Adapter", "LoraShape", "Stack", "applied", "initial", "merged", "read", "save", "target_names"]
