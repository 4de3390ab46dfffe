"""An opened model: its embeddings and blocks, without a head, and what the rest of the room must know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tli.errors import ModelError


@dataclass
class Opened:
    """A model without its language-model head, ready to embed words."""

    base: Any  # torch module: embeddings, blocks, final norm
    blocks: Any  # torch.nn.ModuleList, the blocks that were opened
    tokenizer: Any
    layers: int  # L of the whole model, of which len(blocks) may be fewer
    prefix: str  # how the whole model's tensors of `base` begin ("model." in Llama), "" for an encoder
    device: Any
    exact: dict[str, bool] = field(default_factory=dict)  # which layouts of words are, as far as tli.model.layouts tried them
    stream: Any = None  # tli.model.weights.Source where the weights are not in memory
    word_form: str = "alone"  # how it is fed a word (tli.model.pooling.tokenize)

    @property
    def dtype(self):
        """Type of the hidden states."""
        return self.base.dtype

    @property
    def hidden_size(self) -> int:
        return self.base.config.get_text_config().hidden_size


def find_blocks(base, layers: int):
    """The list of blocks: the ModuleList of `layers` modules that holds the most parameters, of the part that reads text.

    Found by shape and not by name, so that it serves Llama's `layers`, GPT-2's `h` and BERT's `encoder.layer` alike.
    """
    import torch

    if base.config.get_text_config() is not base.config and getattr(base, "language_model", None) is not None:
        base = base.language_model  # its vision part may have as many blocks
    lists = [m for m in base.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == layers]
    if not lists:
        raise ModelError(f"{type(base).__name__}: no list of {layers} blocks found in it; this architecture is not known")
    return max(lists, key=lambda m: sum(p.numel() for p in m.parameters()))


def is_transposed(module) -> bool:
    """GPT-2's Conv1D keeps its weight as [in, out]."""
    return type(module).__name__ == "Conv1D"


def is_linear(module) -> bool:
    """A matrix product with or without a bias, whatever its weights are held in."""
    import torch

    return isinstance(module, torch.nn.Linear) or is_transposed(module)


def sides(module) -> tuple[int, int]:
    """Width of what goes into a linear module, and of what comes out."""
    return tuple(module.weight.shape) if is_transposed(module) else (module.in_features, module.out_features)
