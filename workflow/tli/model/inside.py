"""A free map inside the model: at one hidden state the tokens become their images, and the blocks above run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tli.errors import ModelError
from tli.metrics.maps import FittedMap
from tli.model.opened import Opened


@dataclass(eq=False)
class Inside:
    """h -> |h| n(m_t + W (h / |h| - m_s)), n(x) = x / |x|, of each token at hs[hidden_state]: `FittedMap.image` on the model's device.

    Each token keeps its norm, so that what the blocks above make of norms stays; a token whose norm is 0 stays 0. `spared` are
    the ids of tokens that the tokenizer adds (BOS and the like): they are no text, and BOS has a norm of its own kind.
    """

    hidden_state: int
    mapping: FittedMap
    spared: frozenset[int] = frozenset()
    paused: bool = False  # then the model is unchanged, though the hooks are there
    _tensors: dict[Any, tuple] = field(default_factory=dict)

    def apply(self, states: Any, ids: Any) -> Any:
        """Hidden states [rows, width, hidden] of the tokens `ids` [rows, width], in the type in which they came."""
        import torch

        wide = states.to(torch.promote_types(states.dtype, torch.float32))
        mean_source, factors, scale, mean_target = self._on(wide.device, wide.dtype)
        lengths = wide.norm(dim=-1, keepdim=True)
        centred = wide / lengths.clamp_min(torch.finfo(wide.dtype).tiny) - mean_source
        image = centred
        for factor in factors:
            image = image @ factor
        image = (scale * centred + image if factors else scale * centred) + mean_target
        image = lengths * image / image.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(wide.dtype).tiny)
        kept = torch.isin(torch.as_tensor(ids, device=states.device), torch.tensor(sorted(self.spared), device=states.device))
        return torch.where(kept[..., None], states, image.to(states.dtype))

    def _on(self, device: Any, dtype: Any) -> tuple:
        import torch

        if device not in self._tensors:
            source, target = self.mapping.source, self.mapping.target
            move = lambda values: torch.from_numpy(values).to(device, dtype)  # noqa: E731
            self._tensors[device] = (move(source.mean), [move(one) for one in source.factors], source.scale, move(target.mean))
        return self._tensors[device]


def spared_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of special tokens; that of an unknown piece of text is none."""
    return frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


@contextmanager
def placed(opened: Opened, inside: Inside) -> Iterator[None]:
    """Within the block each forward pass of `opened.base` runs on the images, while `inside` is not paused. For a model that is
    streamed see tli.model.streaming.Wanted. Raises ModelError for a hidden state that is no block's input.
    """
    if not 0 <= inside.hidden_state < len(opened.blocks):
        raise ModelError(f"a map inside the model at hs[{inside.hidden_state}]: no block takes it; there are {len(opened.blocks)}")
    seen: list[Any] = []

    def keep_ids(module: Any, args: tuple, kwargs: dict) -> None:
        seen[:] = [kwargs["input_ids"] if "input_ids" in kwargs else args[0]]

    def replace(module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        if inside.paused:
            return None
        if args:
            return (inside.apply(args[0], seen[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": inside.apply(kwargs["hidden_states"], seen[0])}

    handles = [
        opened.base.register_forward_pre_hook(keep_ids, with_kwargs=True),
        opened.blocks[inside.hidden_state].register_forward_pre_hook(replace, with_kwargs=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
