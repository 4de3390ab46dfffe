"""How many seeds of a cell are trained in one pass: as many as memory holds, and as may be lost together when a job is killed.

Ten seeds in one pass dispatch about as many operations as one does, so on a GPU, where a step of 80 tokens is bound by launches,
they take little longer. On a processor a step is bound by arithmetic and there is less to gain.
"""

from __future__ import annotations

from dataclasses import dataclass

from tli.model.opened import Opened, is_linear, sides
from tli.specs import TrainSpec

AT_RISK = 600  # seconds of training that a killed job may lose
RATE = {"cuda": 5e13, "cpu": 2e11}  # operations a second that such a step reaches at least on today's cards and on few cores
SHARE = 0.5  # of the free memory that activations may take


@dataclass(frozen=True)
class StepCost:
    """What one seed adds to a step."""

    operations: float
    memory: float  # bytes held between forward and backward, and the adapter with its gradient and AdamW's two moments

    def seeds_at_a_time(self, steps: int, device: str, free: float) -> int:
        """How many seeds may share their passes; 1: each is trained by itself."""
        in_time = AT_RISK * RATE.get(device, RATE["cpu"]) / max(1.0, self.operations * steps)
        return max(1, int(min(in_time, SHARE * free / self.memory)))


@dataclass(frozen=True)
class Shape:
    """What the cost of a step depends on, of the blocks that are opened."""

    weights: float  # values of their matrices
    blocks: int
    hidden_size: int
    widest: float  # the longest side of a matrix
    itemsize: int


def step_cost(opened: Opened, spec: TrainSpec, tokens: float, adapter_values: int) -> StepCost:
    """Of the opened blocks and the tokens of a batch. Embeddings and heads cost no product in training at a hidden state."""
    linear = [sides(module) for block in opened.blocks for module in block.modules() if is_linear(module)]
    widest = max((max(pair) for pair in linear), default=opened.hidden_size)
    shape = Shape(sum(inner * outer for inner, outer in linear), len(opened.blocks), opened.hidden_size, widest, opened.dtype.itemsize)
    return cost_of(shape, tokens, len(spec.target_modules), adapter_values)


def cost_of(shape: Shape, tokens: float, modules: int, adapter_values: float) -> StepCost:
    """Operations: 2 a weight and token forward, 2 back to the inputs; frozen weights get no gradient. Memory: what a block keeps of
    a token are the inputs of its products and what lies between them, about twelve times its width and four times the MLP's, and
    the adapted modules' inputs in float32; doubled, for what a library keeps besides.
    """
    weights, blocks, hidden = shape.weights, shape.blocks, shape.hidden_size
    kept = shape.itemsize * (12 * hidden + 4 * shape.widest) + 4 * hidden * 2 * modules
    return StepCost(4.0 * weights * tokens, 2.0 * tokens * blocks * kept + 16 * adapter_values)
