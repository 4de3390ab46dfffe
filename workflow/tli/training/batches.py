"""Tokenised pairs, and a batch of them as pooled vectors at a hidden state, with gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tli.model import packing
from tli.model.layouts import is_exact
from tli.model.opened import Opened
from tli.model.pooling import Tokens, mix, tokens_of, weights
from tli.model.states import capture, run
from tli.specs import TrainSpec


class Batches:
    """Tokenised pairs, and what a batch of them needs: ids, masks, pooling weights, accepted translations."""

    def __init__(self, opened: Opened, sources: list[str], targets: list[str], accepted: np.ndarray, pooling: str):
        """sources, targets: n forms each; accepted: bool [n, n], True where target j is right for source i.

        Or bool [2n, 2n] of the sources, then the targets: then every form is an anchor, and its positive is the form again
        (pairing.own_words); dropout is drawn token by token, so the two differ.
        """
        self.opened, self.accepted, self.pooling = opened, accepted, pooling
        self.pulls_own_word = len(accepted) == 2 * len(sources)
        self.sources, self.targets = tokens_of(opened, sources), tokens_of(opened, targets)
        self.packed = is_exact(opened, "pack", [*self.sources, *self.targets])

    def __len__(self) -> int:
        return len(self.sources)

    def words(self, rows: np.ndarray) -> list[Tokens]:
        """Anchors, then their positives: the rows' sources and their targets, or all of these twice."""
        forms = [self.sources[i] for i in rows] + [self.targets[i] for i in rows]
        return forms * 2 if self.pulls_own_word else forms

    def embed(self, layer: int, rows: np.ndarray):
        """Pooled float32 vectors of anchors and positives at hs[layer], with gradient: two [anchors, hidden].

        Both sides share one forward pass (see `pooled_states`).
        """
        pooled = pooled_states(self.opened, self.words(rows), layer, self.pooling, self.packed)
        half = len(pooled) // 2
        return pooled[:half], pooled[half:]

    def right(self, rows: np.ndarray, spec: TrainSpec) -> np.ndarray:
        """bool [anchors, anchors]: which positives of the batch are no negatives."""
        if self.pulls_own_word:
            both = np.r_[rows, rows + len(self)]
            return self.accepted[np.ix_(both, both)]
        return self.accepted[np.ix_(rows, rows)] if spec.mask_false_negatives else np.eye(len(rows), dtype=bool)


def pooled_states(
    opened: Opened,
    words: list[Tokens],
    layer: int,
    pooling: str,
    packed: bool = False,
    before: Callable[[packing.Rows], None] = lambda rows: None,
):
    """Pooled float32 vectors [words, hidden] at hs[layer], with gradient, from one forward pass.

    packed: end to end, where that is exact for the model; else padded on the right. before: called with the rows laid out
    before they are run.
    """
    import torch

    ids = [word.ids for word in words]
    rows = packing.pack(ids) if packed else packing.pad(ids, opened.tokenizer.pad_token_id or 0)  # hidden by the mask
    before(rows)
    with capture(opened, [layer]) as states:
        run(opened, packing.inputs(rows, opened.device, opened.dtype))
        state = states[layer].float()
    matrix, slots = mix(rows, [weights([word], pooling, len(word.ids))[0] for word in words])
    pooled = torch.bmm(torch.from_numpy(matrix).to(state.device), state).flatten(0, 1)
    return pooled[torch.from_numpy(slots).to(state.device)]


def losses(batches: list[Batches], rows: list[np.ndarray], layer: int, spec: TrainSpec, lay: Callable | None = None):
    """The loss of each member's batch, [members], with gradient, from one forward pass.

    lay: called with the places of each member's words and the number of tokens before they are run, packed; without it there is
    one member.
    """
    import torch

    from tli.training import objective

    def loss(pooled, accepted):
        options = {"margin": spec.margin, "temperature": spec.temperature}
        return objective.loss(spec.objective, pooled[0], pooled[1], accepted, **options)[0]

    right = [torch.from_numpy(batch.right(r, spec)).to(batch.opened.device) for batch, r in zip(batches, rows, strict=True)]
    if lay is None:
        return loss(batches[0].embed(layer, rows[0]), right[0])[None]
    words = [batch.words(r) for batch, r in zip(batches, rows, strict=True)]
    count = len(words[0])

    def places(laid: packing.Rows) -> None:
        lay([laid.places[i : i + count] for i in range(0, len(laid.places), count)], laid.ids.size)

    pooled = pooled_states(batches[0].opened, [w for mine in words for w in mine], layer, batches[0].pooling, True, places)
    pooled = pooled.view(len(batches), 2, count // 2, -1)
    return torch.vmap(loss)(pooled, torch.stack(right).to(pooled.device))
