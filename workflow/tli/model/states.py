"""The hidden states of a forward pass, by their index: hs[0] embeddings, hs[k] output of block k-1, hs[L] normed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tli.errors import ModelError
from tli.model.opened import Opened


def run(opened: Opened, given: dict) -> None:
    """One forward pass without cache on the keyword arguments `given`; what is wanted of it, `capture` keeps."""
    opened.base(**given, **({"use_cache": False} if opened.prefix else {}))


@contextmanager
def capture(opened: Opened, indices: list[int]) -> Iterator[dict]:
    """Within the block, each forward pass of `opened.base` fills the dict that is yielded: index -> [batch, tokens, hidden].

    hs[k] below the number of opened blocks is the input of block k, hs[len(blocks)] of a truncated model is the output of
    its last block, before the final norm, as in the whole model; hs[L] is what the whole model hands on, after the norm.
    Nothing is kept that was not asked for. Raises ModelError for an index that the opened blocks do not reach.
    """
    states: dict = {}
    handles = []
    opened_blocks = len(opened.blocks)
    try:
        for index in set(indices):
            if index < opened_blocks:
                handles.append(opened.blocks[index].register_forward_pre_hook(_keep_input(opened, states, index), with_kwargs=True))
            elif index == opened.layers:
                handles.append(opened.base.register_forward_hook(_keep_last(opened, states, index)))
            elif index == opened_blocks:
                handles.append(opened.blocks[-1].register_forward_hook(_keep_output(opened, states, index)))
            else:
                raise ModelError(f"hs[{index}] is asked for; {opened_blocks} blocks are open, of {opened.layers}")
        yield states
    finally:
        for handle in handles:
            handle.remove()


def checked(opened: Opened, index: int, state: Any) -> Any:
    """A hidden state as it was captured. Raises ModelError where it is not [rows, tokens, hidden]."""
    if state.ndim != 3:
        raise ModelError(
            f"{type(opened.base).__name__}: its blocks pass on states of shape {list(state.shape)} instead of one vector a token, so it "
            "is not clear which of them is a hidden state; this family is not served"
        )
    if state.shape[-1] != opened.hidden_size:
        raise ModelError(
            f"{type(opened.base).__name__}: hs[{index}] has {state.shape[-1]} values a token where its blocks have {opened.hidden_size} (it "
            "is projected after the last block), so the hidden states cannot be compared; this family is not served"
        )
    return state


def _keep_input(opened: Opened, states: dict[int, Any], index: int) -> Callable:
    def hook(module: Any, args: tuple, kwargs: dict) -> None:
        states[index] = checked(opened, index, args[0] if args else kwargs["hidden_states"])

    return hook


def _keep_output(opened: Opened, states: dict[int, Any], index: int) -> Callable:
    def hook(module: Any, args: tuple, output: Any) -> None:
        states[index] = checked(opened, index, output[0] if isinstance(output, tuple) else output)

    return hook


def _keep_last(opened: Opened, states: dict[int, Any], index: int) -> Callable:
    def hook(module: Any, args: tuple, output: Any) -> None:
        states[index] = checked(opened, index, output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0])

    return hook
