"""What a machine does in a second, and how long pieces of work take on it. On plain numbers, no torch; docs/costs.md derives each.

The card is one of an A100's class at the shares of its printed figures that short texts reach. The processor is any of today's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from tli.cluster.sizes import BYTES
from tli.model.nf4 import BYTES as NF4_BYTES

GPU_PRODUCTS = {"bfloat16": 1.2e14, "float16": 1.2e14, "float32": 1e13}  # operations a second; printed 3.1e14, and 2e13 without TF32
GPU_MEMORY = 1.2e12  # bytes a second of the card's memory; printed 1.6e12 to 2e12
CPU_PRODUCTS = {"bfloat16": 1e11, "float16": 5e10, "float32": 5e10}  # operations a second and thread
CPU_DOUBLE = 1e10  # of them in float64
CPU_NF4 = 1e9  # values a second and thread that are brought from 4 bits to 16
DISPATCH = 1e-5  # seconds until PyTorch has sent off one operation, with all that Python does in between
READING = 3e8  # bytes a second from a shared file system: a quarter of 10 Gbit/s
WRITING = 1.5e8
TO_CARD = 1e10  # bytes a second
ROUNDING = 1.5e8  # values a second that a processor rounds to NF4
SEARCHED = 5e9  # values a second that are looked through for what is no number
START = 60  # seconds: two Snakemakes, an environment and its imports from a shared file system
# Operations that PyTorch dispatches, counted: of a forward, and of a step with adapters forward, backward and AdamW (tests/unit/test_costs.py).
FORWARD_OF_BLOCK, STEP, STEP_OF_BLOCK, STEP_OF_ADAPTER = 65, 80, 183, 63
FULL_STEP_OF_BLOCK = 250


@dataclass(frozen=True)
class Machine:
    """Where a job computes, and in which type."""

    gpu: bool
    threads: int
    dtype: str
    quantization: str

    def forward(self, values: float, blocks: int, tokens: float, tokens_a_pass: float) -> float:
        """Seconds to push tokens through `blocks` blocks whose matrices have so many values: 2 operations a value and token."""
        passes = ceil(max(1.0, tokens / max(1.0, tokens_a_pass)))
        return self._products(2 * values * tokens, values * passes, FORWARD_OF_BLOCK * blocks * passes)

    def step(self, values: float, blocks: int, tokens: float, modules: int) -> float:
        """Seconds of a training step: 2 operations a value and token forward, 2 back to the inputs; modules: with an adapter, a block."""
        return self._products(4 * values * tokens, 2 * values, STEP + blocks * (STEP_OF_BLOCK + STEP_OF_ADAPTER * modules))

    def full_step(self, values: float, blocks: int, tokens: float, moved: float) -> float:
        """Seconds of a step that trains the weights themselves: 2 operations more a value and token for their gradient.

        moved: bytes of weights, gradients and moments, each read and written by AdamW.
        """
        memory = 2 * moved / (GPU_MEMORY if self.gpu else 1e10)
        return self._products(6 * values * tokens, 2 * values, STEP + blocks * FULL_STEP_OF_BLOCK) + memory

    def _products(self, operations: float, read: float, dispatched: float) -> float:
        """read: values of weights that are read. On a card launches and products overlap; a processor does one after the other."""
        if not self.gpu:
            unpacking = read / (CPU_NF4 * self.threads) if self.quantization == "nf4" else 0
            return dispatched * DISPATCH + unpacking + operations / (CPU_PRODUCTS[self.dtype] * self.threads)
        products = max(operations / GPU_PRODUCTS[self.dtype], read * BYTES[self.dtype] / GPU_MEMORY)
        if self.quantization == "nf4":  # 4 bits are read and 16 written before each product
            products += read * (NF4_BYTES + BYTES[self.dtype]) / GPU_MEMORY
        return max(dispatched * DISPATCH, products)

    def probabilities(self, tokens: float, vocabulary: int) -> float:
        """Seconds to make float32 log-probabilities of logits: about six times through tokens x vocabulary."""
        return 24 * tokens * vocabulary / (GPU_MEMORY if self.gpu else 1e10)


def full_training_bytes(parameters: float, dtype: str, optimizer: str) -> float:
    """Bytes of weights, gradients and AdamW's two moments, where the weights are trained themselves."""
    return parameters * (2 * BYTES[dtype] + (2 if optimizer == "adamw-8bit" else 2 * BYTES[dtype]))


def asked_minutes(expected_seconds: float) -> int:
    """Whole minutes to ask for: ten, and three times what is expected."""
    return 10 + ceil(3 * expected_seconds / 60)


# ---- what is computed of vectors, on the processor, measured with 700 pairs of 1,024 and 4,096 dimensions


def figures_seconds(pairs: float, dimensions: int) -> float:
    """Every figure of a list at one hidden state and pooling: its cosines, in the whole list and among untrained forms."""
    return 4.7e-10 * pairs**2 * dimensions


def maps_seconds(pairs: float, fitted: float, dimensions: int, maps: int, states: int, measured_whole: float, twins: int) -> float:
    """The free maps of one deal of a list: two singular value decompositions a state (`fitted` x dimensions), and the fits and
    judgements that share them; at `measured_whole` states the whole list too, and the twins of the three paired maps.
    """
    share = maps / 6
    of_state = 2.7e-9 * fitted * dimensions * min(fitted, dimensions) + 7e-7 * pairs**2
    return share * (states * of_state + measured_whole * (6 + 3 * twins) * 1.35e-10 * pairs**2 * dimensions) + 2
