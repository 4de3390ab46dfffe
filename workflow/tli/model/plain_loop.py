"""The way that needs no thought: one word at a time, all hidden states as Transformers gives them. What is fast is held against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tli.errors import ModelError
from tli.log import say
from tli.model import packing
from tli.model.embedding import passes
from tli.model.framed import Fed
from tli.model.layouts import handful, relative_error, token_states, tolerance
from tli.model.opened import Opened
from tli.model.pooling import Tokens, tokens_of

COMPARED = 6  # words


def compare_with_plain_loop(opened: Opened, words: Sequence[Fed], hidden_states: list[int]) -> float:
    """Hold what `tli.model.embedding` does with these words against the plain loop, for a handful of them at `hidden_states`.

    Returns the worst error of any of a word's tokens, as a share of its state's norm. Raises ModelError where it is more than
    rounding: then the model is one that the fast way does not serve, and no figure may be made of it. A streamed model is read
    once for it, and its plain loop is one word at a time through the same blocks.
    """
    tokens = handful(tokens_of(opened, list(dict.fromkeys(words))), COMPARED)
    laid = passes(opened, tokens)
    alone = [packing.equal_lengths([word.ids])[0] for word in tokens]
    if opened.stream is not None:
        states = token_states(opened, [*laid, *alone], hidden_states)
        ours, plain = states[: len(laid)], states[len(laid) :]
    else:
        ours, later = token_states(opened, laid, hidden_states), counts_later(opened, tokens[0])
        plain = [_transformers(opened, word, hidden_states, later) for word in tokens]
    worst = 0.0
    for rows, by_state in zip(laid, ours, strict=True):
        for state in sorted(set(by_state) & set(plain[0])):
            flat = by_state[state].flatten(0, 1)
            for member, place in zip(rows.members, rows.places, strict=True):
                off = relative_error(flat[place], plain[member][state][0], tokens[member])
                worst = max(worst, off)
                if off > tolerance(opened, state):
                    raise ModelError(
                        f"{type(opened.base).__name__}: at hs[{state}] a word of {len(place)} tokens is {off:.0%} off what the model "
                        "gives for it alone through Transformers; nothing can be measured on this model. Please report it with the "
                        "model's config.json"
                    )
    say(f"plain loop: {len(tokens)} words, hs[{min(hidden_states)}] to hs[{max(hidden_states)}]: worst token {worst:.1e} off")
    return worst


def _transformers(opened: Opened, word: Tokens, hidden_states: list[int], later: bool) -> dict:
    """Hidden state -> [1, tokens, hidden] of one word by Transformers' output_hidden_states."""
    states = _all_states(opened, word)
    if not later:
        return {state: states[state].float().cpu() for state in hidden_states}
    numbers = {state: state if state == opened.layers else state - 1 for state in hidden_states if state > 0}
    return {state: states[number].float().cpu() for state, number in numbers.items()}


def counts_later(opened: Opened, word: Tokens) -> bool:
    """Whether Transformers counts this family's hidden states from the first block's output on, as it does for Mamba and RWKV.

    It looks at the first block itself: our own count of the states is what is held against the answer.
    """
    seen: dict = {}

    def before(block: Any, args: tuple, kwargs: dict) -> None:
        seen[0] = (args[0] if args else kwargs["hidden_states"]).float().cpu().clone()

    def after(block: Any, args: tuple, output: Any) -> None:
        seen[1] = (output[0] if isinstance(output, tuple) else output).float().cpu().clone()

    block = opened.blocks[0]
    handles = [block.register_forward_pre_hook(before, with_kwargs=True), block.register_forward_hook(after)]
    try:
        first = _all_states(opened, word)[0].float().cpu()[0]
    finally:
        for handle in handles:
            handle.remove()
    from_embeddings, from_block = (relative_error(first, seen[place][0], word) for place in (0, 1))
    if from_embeddings <= tolerance(opened, 0) or from_block > tolerance(opened, 1):
        return False
    say("hidden states: hs[0] are the embeddings here and hs[k] the output of block k, where Transformers begins with the first block's")
    return True


def _all_states(opened: Opened, word: Tokens) -> tuple:
    import torch

    given = {"input_ids": torch.tensor([word.ids], device=opened.device), "output_hidden_states": True}
    with torch.inference_mode():
        states = opened.base(**given, **({"use_cache": False} if opened.prefix else {})).hidden_states
    if states is None or len(states) != opened.layers + 1:
        count = "none" if states is None else len(states)
        raise ModelError(
            f"{type(opened.base).__name__}: Transformers gives {count} hidden states for {opened.layers} blocks where {opened.layers + 1} "
            "are expected, so it is not clear which is which; this family is not served"
        )
    return states
