"""Which hidden state a loss layer stands for, once the model and the scan are known."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tli.errors import CellError
from tli.io import table_files, tables
from tli.specs import TrainSpec


def resolve_layer(layer: str, layers: int, choices: Sequence[str]) -> int:
    """The hidden state of the loss as a number: `best` by the scan's tables `choice`, `output` is L. Raises CellError.

    choices: of each list that is trained on. Of several it is the state with the highest mean of the criterion over the lists, ties
    to the lower one, as of one.
    """
    if layer == "best":
        scanned = [table_files.read(path, tables.CHOICE) for path in choices]
        if not scanned:
            raise CellError("loss_layer best: no scan has chosen one yet; run scan first")
        if not all(map(len, scanned)):
            raise CellError(
                "loss_layer best: there is nothing to choose from, since the lexicon has no select split or the model has fewer "
                "than two blocks; give the lexicon a select split, or name the layer by number"
            )
        if len(scanned) > 1:
            return best_of(scanned)
        return int(scanned[0].loc[scanned[0]["chosen"], "hidden_state"].iloc[0])
    number = layers if layer == "output" else int(layer)
    if number > layers:
        raise CellError(f"loss_layer {number}: this model has hs[0] to hs[{layers}]")
    if number == 0:
        raise CellError("loss_layer 0: hs[0] are the embeddings; no block lies below, so no adapter can learn")
    return number


def best_of(scanned: Sequence[pd.DataFrame]) -> int:
    """The hidden state with the highest mean value over tables.CHOICE of several lists; equal means (12 digits) go to the lower one."""
    values = pd.concat([table.set_index("hidden_state")["value"] for table in scanned], axis=1).mean(axis=1, skipna=False)
    return int(values.sort_index().round(12).fillna(float("-inf")).idxmax())


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
