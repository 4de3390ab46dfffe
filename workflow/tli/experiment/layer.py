"""Which hidden state a loss layer stands for, once the model and the scan are known."""

from __future__ import annotations

import os

from tli.errors import CellError
from tli.io import tables
from tli.specs import TrainSpec


def resolve_layer(layer: str, layers: int, choice: str | os.PathLike | None) -> int:
    """The hidden state of the loss as a number: `best` by the scan's table `choice`, `output` is L. Raises CellError."""
    if layer == "best":
        if choice is None:
            raise CellError("loss_layer best: no scan has chosen one yet; run scan first")
        table = tables.read(choice, tables.CHOICE)
        if not len(table):
            raise CellError(
                "loss_layer best: there is nothing to choose from, since the lexicon has no select split or the model has fewer "
                "than two blocks; give the lexicon a select split, or name the layer by number"
            )
        return int(table.loc[table["chosen"], "hidden_state"].iloc[0])
    number = layers if layer == "output" else int(layer)
    if number > layers:
        raise CellError(f"loss_layer {number}: this model has hs[0] to hs[{layers}]")
    if number == 0:
        raise CellError("loss_layer 0: hs[0] are the embeddings; no block lies below, so no adapter can learn")
    return number


def adapted_blocks(spec: TrainSpec, loss_layer: int, layers: int, arm: str) -> int:
    """How many blocks carry an adapter. Raises CellError for blocks that the loss cannot reach, unless they are allowed."""
    named = {"reachable": loss_layer, "all": layers}
    asked = min(int(named.get(str(spec.adapted_blocks), spec.adapted_blocks)), layers)
    if asked > loss_layer and not spec.allow_unreached:
        raise CellError(
            f"arms.{arm}: adapters are asked for on {asked} blocks, but a loss at hs[{loss_layer}] reaches only the first "
            f"{loss_layer}; the others would stay as initialised. Set adapted_blocks: reachable, or allow_unreached: true"
        )
    return asked
