"""Tokenised pairs, and a batch of them as pooled vectors at a hidden state, with gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tli.model import packing
from tli.model.device import upload
from tli.model.framed import in_frames
from tli.model.layouts import is_exact
from tli.model.opened import Opened
from tli.model.pooling import Tokens, mix, tokens_of, weights
from tli.model.states import capture, run
from tli.specs import WORD, TemplateSpec, TrainSpec
from tli.training.anchor import Anchor

if TYPE_CHECKING:
    import torch


BY_ITSELF = TemplateSpec((WORD,), (WORD,))


class Batches:
    """Tokenised pairs, and what a batch of them needs: ids, masks, pooling weights, accepted translations."""

    def __init__(
        self,
        opened: Opened,
        sources: list[str],
        targets: list[str],
        accepted: np.ndarray,
        pooling: str,
        templates: Sequence[TemplateSpec] | None = None,
    ):
        """sources, targets: n forms each; accepted: bool [n, n], True where target j is right for source i.

        Or bool [2n, 2n] of the sources, then the targets: then every form is an anchor, and its positive is the form again
        (pairing.own_words); dropout is drawn token by token, so the two differ.
        templates: of each pair the frames in which its forms may be fed, equally many of each; without them forms are fed by themselves.
        """
        self.opened, self.accepted, self.pooling = opened, accepted, pooling
        self.pulls_own_word = len(accepted) == 2 * len(sources)
        of = templates or [BY_ITSELF] * len(sources)

        def fed(side: str, forms: list[str], number: int) -> list[Tokens]:
            return tokens_of(opened, in_frames(forms, [getattr(one, side)[number] for one in of]))

        self._fed = [(fed("source", sources, i), fed("target", targets, i)) for i in range(len(of[0].source))]
        self._anchors = self._positives = 0  # the template of either
        self.packed = is_exact(opened, "pack", [word for sides in self._fed for side in sides for word in side])

    def __len__(self) -> int:
        return len(self._fed[0][0])

    @property
    def templates(self) -> int:
        """In how many ways the forms may be fed: 1 for forms by themselves."""
        return len(self._fed)

    @property
    def tokens(self) -> float:
        """Of all forms of both sides, in the mean over templates."""
        return sum(len(word.ids) for sides in self._fed for side in sides for word in side) / len(self._fed)

    def in_templates(self, anchors: int, positives: int) -> Batches:
        """The same pairs, all anchors fed in one template and all positives in another, each by its number from 0."""
        if (anchors, positives) == (self._anchors, self._positives):
            return self
        other = copy(self)
        other._anchors, other._positives = anchors, positives
        return other

    def words(self, rows: np.ndarray) -> list[Tokens]:
        """Anchors, then their positives: the rows' sources and their targets, or all of these twice."""
        (sources, targets), (sources_again, targets_again) = self._fed[self._anchors], self._fed[self._positives]
        if not self.pulls_own_word:
            return [sources[i] for i in rows] + [targets_again[i] for i in rows]
        return [side[i] for side in (sources, targets, sources_again, targets_again) for i in rows]

    def embed(self, layer: int, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled float32 vectors of anchors and positives at hs[layer], with gradient: two [anchors, hidden].

        Both sides share one forward pass (see `pooled_states`).
        """
        pooled = pooled_states(self.opened, self.words(rows), layer, self.pooling, self.packed)
        half = len(pooled) // 2
        return pooled[:half], pooled[half:]

    def right(self, rows: np.ndarray, spec: TrainSpec) -> np.ndarray:
        """Bool [anchors, anchors]: which positives of the batch are no negatives."""
        if self.pulls_own_word:
            both = np.r_[rows, rows + len(self)]
            return self.accepted[np.ix_(both, both)]
        # a pair that stands twice in a batch of several lists is no negative of itself
        return self.accepted[np.ix_(rows, rows)] if spec.mask_false_negatives else rows[:, None] == rows[None, :]


@dataclass(frozen=True)
class Anchored:
    """The running text of a step: for each member the sentences that it draws."""

    anchor: Anchor
    drawn: list[np.ndarray]

    def sentences(self, member: int) -> list[Tokens]:
        return [self.anchor.sentences[i] for i in self.drawn[member]]

    def penalty(self, member: int, states: dict[int, Any], places: list[np.ndarray]) -> Any:
        return self.anchor.penalty(states, places, self.drawn[member])


def pooled_states(opened: Opened, words: list[Tokens], layer: int, pooling: str, packed: bool = False) -> torch.Tensor:
    """Pooled float32 vectors [words, hidden] at hs[layer], with gradient, from one forward pass.

    packed: end to end, where that is exact for the model; else padded on the right.
    """
    return passed(opened, words, (layer,), pooling, packed, lambda rows: None)[0]


def passed(
    opened: Opened,
    words: list[Tokens],
    layers: tuple[int, ...],
    pooling: str,
    packed: bool,
    before: Callable[[packing.Rows], None],
) -> tuple[Any, dict[int, Any], packing.Rows]:
    """`pooled_states` at the first of `layers`; the states of all, each [rows, width, hidden]; and the rows as they were laid.

    before: called with the rows laid out before they are run.
    """
    import torch

    ids = [word.ids for word in words]
    rows = packing.pack(ids) if packed else packing.pad(ids, opened.tokenizer.pad_token_id or 0)  # hidden by the mask
    before(rows)
    with capture(opened, sorted(set(layers))) as captured:
        run(opened, packing.inputs(rows, opened.device, opened.dtype))
        states = dict(captured)
    state = states[layers[0]]
    state = state.to(torch.promote_types(state.dtype, torch.float32))
    matrix, slots = mix(rows, [weights([word], pooling, len(word.ids))[0] for word in words])
    pooled = torch.bmm(upload(matrix, state.device).to(state.dtype), state).flatten(0, 1)
    return pooled[upload(slots, state.device)], states, rows


def losses(
    batches: list[Batches],
    rows: list[np.ndarray],
    layer: int,
    spec: TrainSpec,
    lay: Callable | None = None,
    anchored: Anchored | None = None,
) -> torch.Tensor:
    """The loss of each member's batch, [members], with gradient, from one forward pass.

    lay: called with the places of each member's words and the number of tokens before they are run, packed; without it there is
    one member. anchored: what each member's running text adds; it goes through the same pass.
    """
    import torch

    from tli.training import objective

    def loss(pooled: Any, accepted: torch.Tensor) -> torch.Tensor:
        options = {"margin": spec.margin, "temperature": spec.temperature}
        return objective.loss(spec.objective, pooled[0], pooled[1], accepted, **options)[0]

    right = np.stack([batch.right(r, spec) for batch, r in zip(batches, rows, strict=True)])
    if lay is None and anchored is None:
        pooled = batches[0].embed(layer, rows[0])
        return loss(pooled, upload(right[0], pooled[0].device))[None]
    words = [batch.words(r) for batch, r in zip(batches, rows, strict=True)]
    count = len(words[0])
    if anchored is not None:
        words = [mine + anchored.sentences(member) for member, mine in enumerate(words)]
    ends = np.cumsum([len(mine) for mine in words])
    of_members = [slice(end - len(mine), end) for mine, end in zip(words, ends, strict=True)]

    def places(laid: packing.Rows) -> None:
        if lay is not None:
            lay([laid.places[mine] for mine in of_members], laid.ids.size)

    flat = [word for mine in words for word in mine]
    packed = lay is not None or (batches[0].packed and (anchored is None or anchored.anchor.packed))
    extra = () if anchored is None else (anchored.anchor.state,)
    pooled, states, laid = passed(batches[0].opened, flat, (layer, *extra), batches[0].pooling, packed, places)
    pairs = torch.stack([pooled[mine][:count] for mine in of_members]) if anchored else pooled
    pairs = pairs.view(len(batches), 2, count // 2, -1)
    accepted = upload(right, pairs.device)
    each = torch.vmap(loss)(pairs, accepted) if lay is not None else loss(pairs[0], accepted[0])[None]
    if anchored is None:
        return each
    penalties = [anchored.penalty(member, states, laid.places[mine][count:]) for member, mine in enumerate(of_members)]
    return each + torch.stack(penalties).to(each.device)  # the loss layer and the output may lie on two cards
