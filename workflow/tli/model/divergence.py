"""What a causal model predicts, read off its last hidden states in slices: no [tokens, vocabulary] at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tli.model import packing
from tli.model.embedding import tokens_per_pass
from tli.model.inside import Inside
from tli.model.lora import Adapter
from tli.model.memory import parts_of_range
from tli.model.opened import Opened, replaced_forward
from tli.model.states import capture, run
from tli.model.streamed_head import loaded_head
from tli.model.streaming import Wanted, stream_all

VALUES = 2**25  # logits at once: 128 MB in float32


def head(whole: Any, opened: Opened, states: Any) -> Any:
    """Logits [n, vocabulary] of last hidden states [n, hidden], by the model's own code: with its scaling, bias and soft cap.

    The part below the head is stood in for by one that gives `states`.
    """
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

    base = opened.base

    def given(*args: Any, **kwargs: Any) -> Any:
        output = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states[None])
        output.router_logits = None  # mixtures of experts hand them on
        return output

    with replaced_forward(base, given):
        ids = torch.zeros((1, len(states)), dtype=torch.long, device=states.device)
        return whole(input_ids=ids, use_cache=False).logits[0]


@contextmanager
def head_weights(whole: Any, weight: Any) -> Iterator[None]:
    """Within the block the head has this weight: where it is tied to embeddings that were trained, the one it had before."""
    import torch

    module = whole.get_output_embeddings()
    if weight is None:
        yield
        return
    now = module.weight
    module.weight = torch.nn.Parameter(weight.to(now.device), requires_grad=False)
    try:
        yield
    finally:
        module.weight = now


def last_states(opened: Opened, sentences: Sequence[tuple[int, ...]], state: int | None = None) -> list[Any]:
    """Of each sentence hs[L] (or another hidden state), [tokens, hidden], on the CPU in the model's type.

    Sentences of equal length share passes: nothing is padded.
    """
    import torch

    found: list[Any] = [None] * len(sentences)
    state = opened.layers if state is None else state

    def one(rows: packing.Rows) -> None:
        try:
            run(opened, packing.inputs(rows, opened.device, opened.dtype))
            flat = states[state].flatten(0, 1).cpu()
        finally:
            states.clear()
        for member, place in zip(rows.members, rows.places, strict=True):
            found[member] = flat[torch.from_numpy(place)]

    with torch.no_grad(), capture(opened, [state]) as states:
        packing.each_that_fits(opened.room(), packing.equal_lengths(sentences, tokens_per_pass(opened)), one)
    return found


def compare(
    whole: Any, opened: Opened, sentences: Sequence[tuple[int, ...]], before: Sequence[Any], after: Sequence[Any], weight: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of each sentence, in nats a predicted token: cross-entropy after, and KL(before || after); two [sentences] of float64.

    cross-entropy = -1/(n-1) sum_t log q(x_t | x_<t);  KL = 1/(n-1) sum_t sum_v p_t(v) (log p_t(v) - log q_t(v)), p before and q
    after. before, after: `last_states` of the two. weight: the head's before, where training changed it. NaN where a sentence
    has fewer than two tokens.
    """
    import torch

    lengths = np.array([max(0, len(ids) - 1) for ids in sentences])
    targets = torch.tensor([token for ids in sentences for token in ids[1:]], dtype=torch.long)
    step = max(1, VALUES // whole.config.get_text_config().vocab_size)
    entropy, divergence = np.zeros(len(targets)), np.zeros(len(targets))
    # One sentence's states at a time are joined, not all of them: main memory holds `before` and `after` once.
    owners = np.repeat(np.arange(len(sentences)), lengths)
    places = np.concatenate([np.arange(n) for n in lengths]) if len(lengths) else np.zeros(0, int)

    def one(positions: range) -> None:
        piece = slice(positions.start, positions.stop)
        p, q = (_gathered(states, owners[piece], places[piece], opened.device) for states in (before, after))
        log_q = log_softmax(head(whole, opened, q))
        with head_weights(whole, weight):
            log_p = log_softmax(head(whole, opened, p))
        right = targets[piece].to(log_q.device)
        entropy[piece] = -log_q.gather(1, right[:, None])[:, 0].double().cpu().numpy()
        terms = log_p.exp() * (log_p - log_q)
        divergence[piece] = terms.nan_to_num(0.0).sum(-1, dtype=torch.float64).cpu().numpy()  # 0 log 0 = 0

    with torch.inference_mode():
        opened.room("positions").each(parts_of_range(range(len(targets)), step), one, len, parts_of_range)
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple(np.bincount(owners, values, minlength=len(sentences)) / lengths for values in (entropy, divergence))


def compare_streamed(
    whole: Any, opened: Opened, sentences: Sequence[tuple[int, ...]], riders: Sequence[Adapter | Inside | None]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """`compare` of each adapter or map inside (None: the base model) on a streamed model, in as few readings of its files as memory allows.

    In memory are the head, one block, the base's last states, and the states of those that ride.
    """
    import torch

    passes = packing.equal_lengths(sentences, tokens_per_pass(opened))
    before: list[Any] = [None] * len(sentences)
    found = [(np.full(len(sentences), np.nan), np.full(len(sentences), np.nan)) for _ in riders]
    riding = [number for number, rider in enumerate(riders) if rider is not None]
    base = [number for number, rider in enumerate(riders) if rider is None]

    def take(place: int, rows: packing.Rows, state: int, values: Any) -> None:
        """Place 0 is the base: it rides first, and its states are there when another's come."""
        flat = values.flatten(0, 1)
        after = [flat[torch.from_numpy(at).to(flat.device)] for at in rows.places]
        if not place:
            for member, its in zip(rows.members, after, strict=True):
                before[member] = its.cpu()
        then = [before[i] for i in rows.members]
        for number in [riding[place - 1]] if place else base:
            figures = compare(whole, opened, [sentences[i] for i in rows.members], then, after)
            for kept, its in zip(found[number], figures, strict=True):
                kept[rows.members] = its

    wanted = [Wanted([opened.layers]), *(_wanted(opened, riders[number]) for number in riding)]
    with loaded_head(whole, opened):
        stream_all(opened, passes, wanted, take)
    return found


def _wanted(opened: Opened, rider: Adapter | Inside | None) -> Wanted:
    if isinstance(rider, Inside):
        return Wanted([opened.layers], inside=rider)
    return Wanted([opened.layers], rider)


def _gathered(states: Sequence[Any], owners: np.ndarray, places: np.ndarray, device: Any) -> Any:
    import torch

    cuts = np.flatnonzero(np.diff(owners)) + 1
    starts = [0, *cuts]
    return torch.cat(
        [states[owners[i]][int(places[i]) : int(places[i]) + n] for i, n in zip(starts, np.diff([*starts, len(owners)]), strict=True)]
    ).to(device)


def log_softmax(logits: Any) -> Any:
    """In float32 or finer."""
    import torch

    return torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)
