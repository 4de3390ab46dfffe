"""Which layout of words (tli.model.packing) a model may be given: the packed ones where they are exact for it."""

from __future__ import annotations

from collections.abc import Sequence

from tli.model import packing
from tli.model.opened import Opened
from tli.model.states import capture, run
from tli.model.streaming import states_at


def can_pack(opened: Opened, words: Sequence[tuple[int, ...]]) -> bool:
    """Whether packed words come out as they do alone; tried on two of `words`, once per opened model.

    False for encoders, for models whose attention or positions do not follow the mask and the position ids that they are
    given (ALiBi, recurrent blocks), and for a word longer than a sliding window.
    """
    import torch

    window = getattr(opened.base.config.get_text_config(), "sliding_window", None)
    if not opened.prefix or (window and max(map(len, words)) > window):
        return False
    if opened.packs is None:
        probe = sorted({word[:16] for word in words}, key=len)[-2:]
        try:
            packed = packing.pack(probe)
            *alone, together = _states(opened, [*(packing.equal_lengths([word])[0] for word in probe), packed])
            together = together.flatten(0, 1)
            off = max(float((together[p] - a[0]).norm() / a.norm()) for p, a in zip(packed.places, alone, strict=True))
            # rounding in 16 bits is about 1e-2 here, a word that sees its neighbour or counts on differs by far more
            opened.packs = off < (1e-3 if opened.dtype == torch.float32 else 0.05)
        except (TypeError, ValueError, RuntimeError):  # the model takes no position ids, or no mask of four dimensions
            opened.packs = False
    return opened.packs


def _states(opened: Opened, passes: list[packing.Rows]) -> list:
    """A low hidden state of each pass in float32 on the CPU, without dropout."""
    import torch

    index, training, values = min(2, len(opened.blocks)), opened.base.training, []
    if opened.stream is not None:
        return [value.float().cpu() for value in states_at(opened, passes, index)]
    opened.base.eval()
    try:
        with torch.inference_mode(), capture(opened, [index]) as states:
            for rows in passes:
                run(opened, packing.inputs(rows, opened.device, opened.dtype))
                values.append(states[index].float().cpu())
    finally:
        opened.base.train(training)
    return values
