"""An opened model: its embeddings and blocks, without a head, and what the rest of the room must know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tli.errors import ModelError
from tli.model.memory import Room

if TYPE_CHECKING:
    import torch


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
    rooms: dict[str, Room] = field(default_factory=dict)  # what -> how much of it may be computed at once

    @property
    def cards(self) -> list:
        """The devices that hold its weights: several where it is spread over cards. Of a streamed model the one that it computes on."""
        return list({p.device: None for p in self.base.parameters() if not p.is_meta}) or [self.device]

    def beside(self, module: Any) -> torch.device:
        """The device of a module's weight: what is computed with it belongs there."""
        return self.device if module.weight.is_meta else module.weight.device

    def room(self, what: str = "tokens") -> Room:
        """How much of `what` (tokens of a pass, positions whose predictions are taken, rows of a batch) the card holds at once."""
        return self.rooms.setdefault(what, Room(what))

    @property
    def dtype(self) -> torch.dtype:
        """Type of the hidden states."""
        return self.base.dtype

    @property
    def hidden_size(self) -> int:
        return self.base.config.get_text_config().hidden_size


@dataclass(frozen=True, eq=False)
class Loaded:
    """An opened model: without its head where vectors are asked for, with it (`whole`) where probabilities are."""

    opened: Opened
    whole: Any = None


def find_blocks(base: Any, layers: int) -> Any:
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


@contextmanager
def replaced_forward(module: Any, forward: Callable) -> Iterator[None]:
    """Within the block the module's forward is this one; afterwards what it was, with what accelerate may have put around it."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def is_transposed(module: Any) -> bool:
    """GPT-2's Conv1D keeps its weight as [in, out]."""
    return type(module).__name__ == "Conv1D"


def is_linear(module: Any) -> bool:
    """A matrix product with or without a bias, whatever its weights are held in."""
    import torch

    return isinstance(module, torch.nn.Linear) or is_transposed(module)


def sides(module: Any) -> tuple[int, int]:
    """Width of what goes into a linear module, and of what comes out."""
    return tuple(module.weight.shape) if is_transposed(module) else (module.in_features, module.out_features)
