"""Anchors: while word pairs are pulled together, the model is held to what it makes of its own running text.

loss + weight x penalty, the penalty a mean over the tokens of some sentences, h their states in training and h0 the model's as
it came, known beforehand:

    drift               |h - h0|^2 / |h0|^2 at the loss layer
    gradient-weighted   (h - h0)' M (h - h0) / 2 there, M = E[g g'], g the gradient at h of the log-likelihood of labels that
                        the model draws itself: its Fisher information, so this is KL at the output to second order for a change at
                        one position; terms across positions are left out
    kl                  KL(before || after) of the predictions, through all blocks and the head

The first two need no more blocks than the loss does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tli.errors import CellError
from tli.model import divergence, packing
from tli.model.device import upload
from tli.model.layouts import is_exact
from tli.model.opened import Opened
from tli.model.pooling import Tokens, tokens_of
from tli.model.states import capture, run
from tli.specs import AnchorSpec

METRICS = ("drift", "gradient-weighted", "kl")
LONGEST = 128  # tokens of a sentence
TOKENS = 512  # in a pass that makes the matrix: its logits are held at once
MATRIX = "matrix.safetensors"
SMALL = {"float32": 0.02, "rounded": 0.1}  # of a state's norm, by the type of the model


@dataclass(frozen=True)
class Anchoring:
    """The sentences that training may read, and the file of the gradients' matrix where the metric wants one."""

    sentences: tuple[str, ...]
    matrix: Path | None = None


class Anchor:
    """Tokenised sentences, what the model made of them before training, and how far it is from that."""

    def __init__(self, opened: Opened, spec: AnchorSpec, layer: int, anchoring: Anchoring, whole: Any = None):
        """layer: of the loss. whole: the model with its head, for `kl`; `opened` is then the part below the head.

        Raises CellError without sentences.
        """
        if not anchoring.sentences:
            raise CellError(
                "training.anchor: the text has no sentence to spare for anchors; a third of its lines is reserved for them: give more"
            )
        self.opened, self.spec, self.whole = opened, spec, whole
        self.state = opened.layers if spec.metric == "kl" else layer
        self.sentences = tokenized(opened, anchoring.sentences)
        self.lengths = np.array([len(one.ids) for one in self.sentences])
        self.packed = is_exact(opened, "pack", self.sentences)
        self.before = divergence.last_states(opened, [one.ids for one in self.sentences], self.state)  # on the CPU: a step needs few
        self.head = whole.get_output_embeddings().weight.detach().clone() if spec.metric == "kl" and _is_tied(whole) else None
        self.matrix: Any = None
        if spec.metric == "gradient-weighted":
            assert anchoring.matrix is not None  # whoever trains so has made it
            self.matrix = read_matrix(anchoring.matrix, opened.device)

    def draws(self, seed: int, done: int = 0) -> Iterator[np.ndarray]:
        """The sentences of each step after `done`, in an order that comes from the seed alone; all before one comes again."""
        return islice(self._draws(seed), done, None)

    def _draws(self, seed: int) -> Iterator[np.ndarray]:
        order, waiting = np.random.default_rng([seed, 16]), list[int]()
        while True:
            drawn, tokens = list[int](), 0
            while tokens < self.spec.tokens_per_step and len(drawn) < len(self.sentences):
                waiting = waiting or order.permutation(len(self.sentences)).tolist()
                drawn.append(waiting.pop())
                tokens += self.lengths[drawn[-1]]
            yield np.array(drawn)

    def penalty(self, states: dict[int, Any], places: Sequence[np.ndarray], drawn: np.ndarray) -> Any:
        """Weight x the mean over the tokens of the drawn sentences, with gradient.

        states: hidden state -> [rows, width, hidden] of the pass; places: of each drawn sentence's tokens in it, flat.
        """
        import torch

        flat = states[self.state].flatten(0, 1)
        now = flat[upload(np.concatenate(places), flat.device)]
        then = torch.cat([self.before[i] for i in drawn]).to(flat.device, non_blocking=True)
        if self.spec.metric == "kl":
            return self.spec.weight * self._kl(now, then)
        precision = torch.promote_types(now.dtype, torch.float32)
        now, then = now.to(precision), then.to(precision)
        change = now - then
        if self.spec.metric == "drift":
            each = change.square().sum(-1) / then.square().sum(-1).clamp(min=1e-12)
        else:
            self.matrix = self.matrix.to(change.device, precision)  # once: the loss layer may lie on another card than the embeddings
            each = predicted_kl(self.matrix, change)
        return self.spec.weight * each.mean()

    def _kl(self, now: Any, then: Any) -> Any:
        import torch

        with torch.no_grad(), divergence.head_weights(self.whole, self.head):
            log_p = divergence.log_softmax(divergence.head(self.whole, self.opened, then))
        log_q = divergence.log_softmax(divergence.head(self.whole, self.opened, now))
        return torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="sum") / len(now)


def tokenized(opened: Opened, sentences: Sequence[str]) -> list[Tokens]:
    """As the tokenizer makes them, whatever the form of words; each cut to its first LONGEST tokens."""
    return [Tokens(one.ids[:LONGEST], one.first, min(one.last, LONGEST)) for one in tokens_of(opened, list(sentences), "alone")]


def _is_tied(whole: Any) -> bool:
    return whole.get_output_embeddings().weight is whole.get_input_embeddings().weight


# --- the gradients' matrix ------------------------------------------------------------------------------------------


def gradient_matrix(
    whole: Any,
    opened: Opened,
    layer: int,
    sentences: Sequence[str],
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Any:
    """M [hidden, hidden], float64 on the CPU: the mean over all tokens of g g', g the gradient at hs[layer] of the summed log-likelihood
    of labels that the model draws at each position.

    Symmetric and positive semi-definite by construction. One forward and backward of the whole model for each sentence. progress is
    told how many passes are done.
    """
    import torch

    passes = packing.equal_lengths([one.ids for one in tokenized(opened, sentences)], TOKENS)
    generator = torch.Generator(opened.device).manual_seed(seed)
    total, tokens = torch.zeros((opened.hidden_size,) * 2, dtype=torch.float64, device=opened.device), 0
    # The weights are frozen: the graph begins at the embeddings.
    hook = opened.base.get_input_embeddings().register_forward_hook(lambda module, args, output: output.requires_grad_())
    try:
        with torch.enable_grad(), capture(opened, sorted({layer, opened.layers})) as states:
            for done, rows in enumerate(passes, 1):
                run(opened, packing.inputs(rows, opened.device, opened.dtype))
                at, last = states[layer], states[opened.layers].flatten(0, 1)
                log = divergence.log_softmax(divergence.head(whole, opened, last))
                drawn = torch.multinomial(log.detach().exp(), 1, generator=generator)
                (gradient,) = torch.autograd.grad(log.gather(1, drawn).sum(), at)
                g = gradient.flatten(0, 1).double()
                total += (g.T @ g).to(total.device)
                tokens += len(g)
                states.clear()
                progress(done, len(passes))
    finally:
        hook.remove()
    return ((total + total.T) / (2 * tokens)).cpu()


def predicted_kl(matrix: Any, changes: Any) -> Any:
    """D' M d / 2 of each change d [..., hidden] at the matrix's hidden state: KL at the output, nats, if it stood alone and were small."""
    return (changes @ matrix.to(changes.dtype) * changes).sum(-1) / 2


def prediction(whole: Any, opened: Opened, layer: int, sentences: Sequence[str], matrix: Any, count: int = 800, seed: int = 0) -> float:
    """What M predicts of KL at the output over what is measured, each summed over small random changes at single positions.

    Every position of as many sentences as have `count` of them is changed by itself, all by one size: a share of the median norm of
    a state (SMALL) at which KL is of second order, and which the rounding of the model's type does not drown.
    """
    import torch

    tokens = tokenized(opened, sentences)
    order = np.random.default_rng(seed).permutation(len(tokens))
    before = np.cumsum([0, *(len(tokens[i].ids) for i in order)])[:-1]
    drawn = [tokens[i].ids for i in order[before < count]]
    states = torch.cat(divergence.last_states(opened, drawn, layer))
    share = SMALL["float32" if opened.dtype in (torch.float32, torch.float64) else "rounded"]
    size = share * float(states.float().norm(dim=-1).median()) / opened.hidden_size**0.5
    generator = torch.Generator().manual_seed(seed)
    predicted = measured = 0.0
    for ids in drawn:
        changes = size * torch.randn((len(ids), opened.hidden_size), generator=generator)
        added = torch.cat([torch.diag_embed(changes.T).permute(1, 2, 0), torch.zeros((1, len(ids), opened.hidden_size))])
        given = torch.tensor([ids] * len(added), device=opened.device)  # row t with position t changed, the last as it is
        with torch.inference_mode(), changed(opened, layer, added.to(opened.device, opened.dtype)):
            log = torch.log_softmax(whole(input_ids=given, use_cache=False).logits.double(), dim=-1)
        measured += float((log[-1].exp() * (log[-1] - log[:-1])).nan_to_num(0.0).sum())
        predicted += float(predicted_kl(matrix.cpu(), changes.double()).sum())
    return predicted / measured


@contextmanager
def changed(opened: Opened, layer: int, added: Any) -> Iterator[None]:
    """Within the block, `added` [rows, tokens, hidden] is added to hs[layer] of each pass. Not for hs[L], which no block reads."""

    def bend(module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (args[0] + added, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": kwargs["hidden_states"] + added}

    hook = opened.blocks[layer].register_forward_pre_hook(bend, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def write_matrix(matrix: Any, folder: Path) -> None:
    """As safetensors in `folder`."""
    from safetensors.torch import save_file

    save_file({"matrix": matrix.contiguous()}, str(folder / MATRIX))


def read_matrix(path: Path, device: Any) -> Any:
    """M as `write_matrix` wrote it. Raises CellError for one that is not symmetric, finite and positive semi-definite."""
    import torch
    from safetensors.torch import load_file

    matrix = load_file(str(path))["matrix"]
    if not torch.isfinite(matrix).all() or not torch.equal(matrix, matrix.T):
        raise CellError(f"{path}: is no symmetric matrix of finite numbers; delete its folder, and it is made again")
    values = torch.linalg.eigvalsh(matrix)
    if values[0] < -1e-8 * values[-1].clamp(min=1e-30):
        raise CellError(
            f"{path}: has an eigenvalue of {float(values[0]):.1e}, so it weighs no change; delete its folder, and it is made again"
        )
    return matrix.to(device)
