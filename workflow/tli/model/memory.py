"""Where a card's memory does not hold what is computed at once: it is freed, half as much is taken, and the work goes on.

What fits is learned once for each opened model and remembered as long as it is open. Words lie in rows that do not see each
other, so fewer rows in a pass give the same states; only the order of float additions may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tli.errors import ModelError
from tli.log import say

Piece = TypeVar("Piece")

MENDS = (
    "Take a card with more memory, set quantization: nf4, dtype: bfloat16, stream: always (scan and evaluation) or across_gpus: true "
    "for the model; or see with `nvidia-smi` who else is on the card. More main memory does not help, so neither do the retries"
)


def is_card_full(error: BaseException) -> bool:
    """Whether an error of torch says that an accelerator's memory did not suffice; main memory is another matter."""
    import torch

    words = ("CUDA out of memory", "HIP out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and any(part in str(error) for part in words))


def free_card() -> None:
    """Give back what torch keeps of the card's memory for later. Whoever still refers to a tensor keeps it."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def attempt(do: Callable[[], Any]) -> tuple[Any, str]:
    """(what `do` gives, "") or, where the card's memory did not hold it, (None, the reason); then all that it held there is freed.

    The error itself is not kept: its traceback refers to the tensors of the failed pass.
    """
    try:
        return do(), ""
    except Exception as error:
        if not is_card_full(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    free_card()
    return None, reason


@dataclass
class Room:
    """How much may be computed at once, as far as the card's memory has shown."""

    what: str = "tokens"
    at_once: int | None = None  # None: it never failed

    def each(
        self, pieces: Iterable[Piece], do: Callable[[Piece], None], size: Callable[[Piece], int], split: Callable[[Piece, int], list[Piece]]
    ) -> None:
        """Call do(piece) for each piece, in order, or for parts of it where it does not fit.

        split(piece, at most) gives its parts of that size, [piece] where it cannot be cut. do: what it did before it failed is done
        again. Raises ModelError where a piece that cannot be cut does not fit.
        """
        waiting = list(pieces)[::-1]
        while waiting:
            piece = waiting.pop()
            parts = [piece] if self.at_once is None else split(piece, self.at_once)
            if len(parts) > 1:
                waiting += parts[::-1]
                continue
            _, reason = attempt(partial(do, piece))
            if reason:
                can_be_cut = len(split(piece, max(1, size(piece) // 2))) > 1
                self._halve(size(piece), reason, can_be_cut)
                waiting.append(piece)

    def largest(self, size: int, do: Callable[[int], Any], least: int = 1) -> Any:
        """What do(n) gives, n = `size` or as much as fits, halved from it. Raises ModelError where `least` does not fit either."""
        while True:
            n = min(size, self.at_once or size)
            result, reason = attempt(partial(do, n))
            if not reason:
                return result
            self._halve(n, reason, n > least)

    def _halve(self, size: int, reason: str, can_be_cut: bool) -> None:
        if not can_be_cut:
            raise ModelError(f"the card's memory does not hold a pass of {size} {self.what}, and it cannot be cut ({reason}). {MENDS}")
        if self.at_once is None:
            say(
                f"memory: the card does not hold {size} {self.what} at once: half as many from here on, and half again where need be; "
                f"the results are the same ({reason})"
            )
        self.at_once = max(1, size // 2)


def parts_of_range(piece: range, at_most: int) -> list[range]:
    """A range in parts of at most so many numbers."""
    return [piece[first : first + at_most] for first in range(0, len(piece), at_most)]
