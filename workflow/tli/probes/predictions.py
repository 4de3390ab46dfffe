"""What subjects predict of sentences, read off once for every probe that asks for some of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tli.log import say
from tli.model import divergence
from tli.subjects import Subject


@dataclass(frozen=True)
class Predicted:
    """Of a sentence that stands by itself after BOS."""

    tokens: int  # predicted ones: without a BOS the first is given; 0 where there is none
    cross_entropy: float  # nats a predicted token; NaN without one
    kl: float  # KL(before || after), nats a predicted token (tli.model.divergence.compare)


@dataclass(eq=False)
class Predictions:
    """Sentences that probes of one setting ask for, each distinct one read once a subject.

    `before` are the last hidden states of the base model, held in main memory (hidden size x tokens, not vocabulary x
    tokens). Of a streamed model all subjects are read when it is prepared, in one reading of its files.
    """

    _texts: dict[str, None] = field(default_factory=dict)
    _loaded: Callable[[], Any] = lambda: None  # what was prepared for, as long as others hold it
    _ids: list[tuple[int, ...]] = field(default_factory=list)
    _before: list[Any] = field(default_factory=list)
    _head: Any = None
    _known: dict[str, dict[str, Predicted]] = field(default_factory=dict)  # unit of a subject -> sentence -> what it predicts

    def ask(self, texts: Iterable[str]) -> None:
        """Say which sentences will be asked for, before anything is prepared."""
        self._texts |= dict.fromkeys(texts)

    def prepare(self, loaded: Any, subjects: Sequence[Subject]) -> None:
        """Called by every probe for each opened model (tli.model.opened.Loaded), with the subjects that will be measured on it."""
        if self._loaded() is loaded:
            return
        self._loaded, self._known = weakref.ref(loaded), {}
        tokenizer, config = loaded.opened.tokenizer, loaded.whole.config.get_text_config()
        longest = getattr(config, "max_position_embeddings", None) or 2**20
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        ids = tokenizer(list(self._texts), add_special_tokens=False)["input_ids"] if self._texts else []
        self._ids = [tuple((start + row)[:longest]) for row in ids]
        if loaded.opened.stream is not None:
            once = list({subject.unit: subject for subject in subjects}.values())
            say(f"{len(self._ids):,} sentences through a streamed model: {len(once)} subjects")
            wanted = {subject.unit: subject.wanted(loaded.opened, [loaded.opened.layers]) for subject in once}
            riders = {"": None} | {unit: one.inside or one.adapter for unit, one in wanted.items()}
            figures = divergence.compare_streamed(loaded.whole, loaded.opened, self._ids, list(riders.values()))
            self._known = {unit: self._named(*both) for unit, both in zip(riders, figures, strict=True)}
            return
        self._before = divergence.last_states(loaded.opened, self._ids)
        trained_whole = any(subject.is_full for subject in subjects)  # its embeddings may be the head's weights
        self._head = loaded.whole.get_output_embeddings().weight.detach().to("cpu", copy=True) if trained_whole else None

    def of(self, loaded: Any, subject: Subject) -> dict[str, Predicted]:
        """Sentence -> what this subject predicts of it. The model wears the subject, unless it is streamed."""
        if subject.unit not in self._known:
            after = self._before if subject.is_baseline else divergence.last_states(loaded.opened, self._ids)
            figures = divergence.compare(loaded.whole, loaded.opened, self._ids, self._before, after, self._head)
            self._known = {subject.unit: self._named(*figures)}
        return self._known[subject.unit]

    def as_it_came(self, loaded: Any) -> dict[str, Predicted]:
        """Sentence -> what the model predicts of it that wears nobody."""
        if loaded.opened.stream is not None:
            return self._known[""]
        return self._named(*divergence.compare(loaded.whole, loaded.opened, self._ids, self._before, self._before, self._head))

    def _named(self, entropy: np.ndarray, kl: np.ndarray) -> dict[str, Predicted]:
        tokens = [max(0, len(ids) - 1) for ids in self._ids]
        return dict(zip(self._texts, map(Predicted, tokens, entropy.tolist(), kl.tolist()), strict=True))
