"""A model that memory does not hold, run one block at a time from its safetensors.

All words go through block 0, then its weights give way to those of block 1, and so on: one reading of the files for all
words and all adapters. In memory are one block, the embedding rows of the tokens that occur, and the words' states.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from tli.model import lora, packing
from tli.model.device import free_on
from tli.model.inside import Inside
from tli.model.opened import Opened
from tli.model.weights import loaded, outside, read_ahead


@dataclass(frozen=True)
class Wanted:
    """One of the models that ride in a pass: the base with an adapter or without, and the hidden states it is asked for."""

    hidden_states: Sequence[int]
    adapter: lora.Adapter | None = None
    merge: bool = False  # add the adapter to the weights (and round them to NF4 again) instead of beside them
    inside: Inside | None = None  # a map that replaces the tokens' states when the pass is there

    def at(self, hidden_state: int, values: Any, rows: packing.Rows) -> Any:
        """A hidden state as this model has it, from what its block gave."""
        if self.inside is None or self.inside.hidden_state != hidden_state:
            return values
        return self.inside.apply(values, rows.ids)


Take = Callable[[int, packing.Rows, int, Any], None]


def stream_all(opened: Opened, passes: list[packing.Rows], wanted: Sequence[Wanted], take: Take) -> None:
    """`stream`, in as many readings of the files as the states of all of `wanted` need to fit half of the memory that is free where it
    computes; the first of `wanted` ride first.

    The states of all passes are held from block to block, so where the card is full a reading begins again, with passes of half as many
    tokens and half as many of `wanted` together: what `take` was given before comes again, and `rows` may be a part of a pass.
    """
    largest, narrowest = max(rows.ids.size for rows in passes), max(rows.ids.shape[1] for rows in passes)
    held = sum(rows.ids.size for rows in passes) * opened.hidden_size * opened.dtype.itemsize
    first = 0

    def ride(tokens: int) -> int:
        together = max(1, int(free_on(opened.device) / 2 * tokens / largest / held))
        riding = wanted[first : first + together]
        parts = [part for rows in passes for part in packing.cut(rows, tokens)]
        stream(opened, parts, riding, lambda number, rows, state, values: take(first + number, rows, state, values))
        return len(riding)

    while first < len(wanted):
        first += opened.room().largest(largest, ride, narrowest)


def stream(opened: Opened, passes: list[packing.Rows], wanted: Sequence[Wanted], take: Take) -> None:
    """Run `passes` through the streamed `opened` up to the highest hidden state asked for.

    take(number in `wanted`, rows, hidden state, values [rows, width, hidden]) is called for each state asked for, in the
    order of the states.
    """
    import torch

    last = max(max(one.hidden_states) for one in wanted)
    with torch.inference_mode(), outside(opened, passes):
        calls, states = [], []
        for rows in passes:
            call = _record(opened, rows)
            calls.append(call)
            states.append([one.at(0, call.first, rows) for one in wanted])
        for rows, first in zip(passes, states, strict=True):
            for number, one in enumerate(wanted):
                if 0 in one.hidden_states:
                    take(number, rows, 0, first[number])
        for index in range(min(last, opened.layers)):
            with loaded(opened, index):
                if index + 1 < min(last, opened.layers):
                    threading.Thread(target=read_ahead, args=(opened, index + 1), daemon=True).start()
                for number, one in enumerate(wanted):
                    if max(one.hidden_states) <= index:
                        continue
                    with _adapted(opened, one, index):
                        for which, (rows, call) in enumerate(zip(passes, calls, strict=True)):
                            values = one.at(index + 1, call.run(opened, index, states[which][number]), rows)
                            states[which][number] = values
                            if index + 1 in one.hidden_states and index + 1 < opened.layers:
                                take(number, rows, index + 1, values)
        if last == opened.layers:
            for number, one in enumerate(wanted):
                if last in one.hidden_states:
                    for which, rows in enumerate(passes):
                        take(number, rows, last, _finish(opened, rows, states[which][number]))


def _adapted(opened: Opened, one: Wanted, index: int) -> AbstractContextManager:
    if one.adapter is None:
        return nullcontext()
    return (lora.merged if one.merge else lora.applied)(opened, one.adapter, index)


@dataclass
class _Call:
    """What the model hands to its blocks for one pass."""

    first: Any  # hs[0]
    arguments: list[tuple[tuple, dict]]  # of each block, all but the states

    def run(self, opened: Opened, index: int, states: Any) -> Any:
        args, kwargs = self.arguments[index]
        output = opened.blocks[index](states, *args, **kwargs)
        return output[0] if isinstance(output, tuple) else output


class _Stop(Exception):
    pass


def _record(opened: Opened, rows: packing.Rows) -> _Call:
    """Run the model with its blocks left out, and keep what each would have been given."""
    given = packing.inputs(rows, opened.device, opened.dtype)
    arguments: list[tuple[tuple, dict]] = []
    first: list = []

    def note(index: int, args: tuple, kwargs: dict) -> Any:
        kwargs = dict(kwargs)
        states = args[0] if args else kwargs.pop("hidden_states")
        if not first:
            first.append(states)
        arguments.append((args[1:], kwargs))
        return states

    if opened.stream.outputs is None:

        def stop(index: int, args: tuple, kwargs: dict) -> None:
            note(index, args, kwargs)
            raise _Stop

        with _replaced(opened, stop), suppress(_Stop):
            _forward(opened, given)
        args, kwargs = arguments[0]
        with loaded(opened, 0):
            output = opened.blocks[0](first[0], *args, **kwargs)
            opened.stream.outputs = len(output) if isinstance(output, tuple) else 0
        arguments.clear()
        first.clear()
    with _replaced(opened, lambda *call: _wrap(opened, note(*call))):
        _forward(opened, given)
    return _Call(first[0], arguments)


def _finish(opened: Opened, rows: packing.Rows, states: Any) -> Any:
    """hs[L]: what the model makes of its last block's output."""
    end = len(opened.blocks) - 1

    def pass_on(index: int, args: tuple, kwargs: dict) -> Any:
        return _wrap(opened, states if index == end else args[0] if args else kwargs["hidden_states"])

    with _replaced(opened, pass_on):
        output = _forward(opened, packing.inputs(rows, opened.device, opened.dtype))
    return output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]


def _forward(opened: Opened, given: dict) -> Any:
    return opened.base(**given, **({"use_cache": False} if opened.prefix else {}))


def _wrap(opened: Opened, states: Any) -> Any:
    return (states, *[None] * (opened.stream.outputs - 1)) if opened.stream.outputs else states


@contextmanager
def _replaced(opened: Opened, call: Callable) -> Iterator[None]:
    """Within the block, each block's forward is call(index, args, kwargs)."""
    try:
        for index, block in enumerate(opened.blocks):
            block.forward = lambda *args, _index=index, **kwargs: call(_index, args, kwargs)
        yield
    finally:
        for block in opened.blocks:
            del block.forward
