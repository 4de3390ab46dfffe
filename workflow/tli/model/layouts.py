"""Which layout of words (tli.model.packing) a model may be given: a packed one where it is exact for this very model.

What a model makes of the mask and the positions that it is given is known only by trying: attention that counts columns (ALiBi)
survives one packed layout and not the other, convolutions and recurrences look past every mask. So both are tried, on the words
themselves, against each word alone.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from tli.errors import ModelError
from tli.log import say
from tli.model import packing
from tli.model.device import is_out_of_memory
from tli.model.opened import Opened
from tli.model.pooling import Tokens
from tli.model.states import capture, run
from tli.model.streaming import Wanted, stream

LAYOUTS: dict[str, Callable[[list[tuple[int, ...]]], list[packing.Rows]]] = {
    "pack": lambda words: [packing.pack(words)],
    "share": packing.share,
}
PROBED = 8  # words


def is_exact(opened: Opened, layout: str, words: Sequence[Tokens]) -> bool:
    """Whether words in this layout ("pack" or "share") come out as each does alone; tried on some of `words`, once per opened model.

    False for encoders, for models whose attention or positions do not follow the mask and the position ids that they are
    given (ALiBi, recurrent blocks), and for a word longer than a sliding window.
    """
    window = getattr(opened.base.config.get_text_config(), "sliding_window", None)
    if not opened.prefix or (window and max(len(word.ids) for word in words) > window):
        return False
    if layout not in opened.exact:
        if not _takes_positions(opened):
            opened.exact |= dict.fromkeys(LAYOUTS, False)
            say("layout: one length at a time, since the model takes no position ids")
            return False
        probe = handful(words, PROBED)
        if len(probe) < 2:
            return False  # one word fits any layout: that tells nothing of the next list
        opened.exact[layout] = _tried(opened, layout, probe)
    return opened.exact[layout]


def tolerance(opened: Opened, state: int) -> float:
    """How far a token's state may be from the same computed in another order, as a share of its norm.

    Rounding adds up like a random walk over the blocks. Exact models were seen at 1.3e-2 in bfloat16 at most, a word that sees
    its neighbour or counts its positions on at .49 at least.
    """
    return 1e-3 if opened.dtype.itemsize >= 4 else min(0.3, 0.05 * math.sqrt(1 + state))


def handful(words: Sequence[Tokens], count: int) -> list[Tokens]:
    """Some of the words, each distinct: the longest, those that begin alike, and others evenly from the rest."""
    distinct = sorted({word.ids: word for word in words}.values(), key=lambda word: word.ids)
    alike = max(pairwise(distinct), key=lambda pair: _common(*pair), default=())
    chosen = {word.ids: word for word in (max(distinct, key=lambda word: len(word.ids)), *alike)}
    for i in range(count):
        word = distinct[i * len(distinct) // count]
        if len(chosen) < count:
            chosen[word.ids] = word
    return list(chosen.values())


def _common(one: Tokens, other: Tokens) -> int:
    return next((i for i, (a, b) in enumerate(zip(one.ids, other.ids, strict=False)) if a != b), min(len(one.ids), len(other.ids)))


def _takes_positions(opened: Opened) -> bool:
    parameters = inspect.signature(opened.base.forward).parameters
    return "position_ids" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _tried(opened: Opened, layout: str, words: list[Tokens]) -> bool:
    """Try a layout, and say what came of it."""
    import torch

    top = len(opened.blocks)
    states = sorted({min(2, top), top}) if opened.stream is None else [min(2, top)]  # a streamed model is not read twice for this
    ids = [word.ids for word in words]
    alone = token_states(opened, [packing.equal_lengths([one])[0] for one in ids], states)
    apart = {(state, number): values[0] for number, by_state in enumerate(alone) for state, values in by_state.items()}
    passes = LAYOUTS[layout](ids)
    try:
        laid = token_states(opened, passes, states)
    except (RuntimeError, ValueError, TypeError) as error:
        if is_out_of_memory(error) or isinstance(error, (torch.cuda.CudaError, torch.AcceleratorError, ModelError)):
            raise
        if isinstance(error, TypeError) and not any(name in str(error) for name in ("position_ids", "attention_mask")):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        say(f"layout: words are not laid as `{layout}`: the model does not take their mask or positions ({reason})")
        return False
    worst, fits = 0.0, True
    for rows, by_state in zip(passes, laid, strict=True):
        for state, values in by_state.items():
            flat = values.flatten(0, 1)
            for member, place in zip(rows.members, rows.places, strict=True):
                off = relative_error(flat[place], apart[state, member], words[member])
                worst, fits = max(worst, off), fits and off <= tolerance(opened, state)
    say(
        f"layout: `{layout}` is {'exact' if fits else 'NOT exact, so not used'} for this model: worst token of {len(words)} words "
        f"{worst:.1e} off at hs[{states[-1]}] and below"
    )
    return fits


def relative_error(laid: Any, alone: Any, word: Tokens) -> float:
    """The worst of a word's own tokens: distance of its state [tokens, hidden] from the one computed alone, by its norm.

    BOS is left out: where it is an attention sink, its norm would hide all else.
    """
    laid, alone = laid[word.first : word.last], alone[word.first : word.last]
    distance = (laid - alone).norm(dim=-1) / alone.norm(dim=-1).clamp(min=1e-30)
    worst = float(distance.max())
    return worst if math.isfinite(worst) else math.inf


def token_states(opened: Opened, passes: list[packing.Rows], states: list[int]) -> list[dict]:
    """Of each pass, hidden state -> [rows, width, hidden] in float32 on the CPU, without dropout."""
    import torch

    if opened.stream is not None:
        of: dict[int, dict] = {id(rows): {} for rows in passes}
        stream(opened, passes, [Wanted(states)], lambda _, rows, state, values: of[id(rows)].__setitem__(state, values.float().cpu()))
        return [of[id(rows)] for rows in passes]
    result, training = [], opened.base.training
    opened.base.eval()
    try:
        with torch.inference_mode(), capture(opened, states) as captured:
            for rows in passes:
                run(opened, packing.inputs(rows, opened.device, opened.dtype))
                result.append({state: captured[state].float().cpu() for state in states})
                captured.clear()
    finally:
        opened.base.train(training)
    return result
