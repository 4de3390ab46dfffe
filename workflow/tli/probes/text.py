"""Running text: how well a subject predicts it, and how far its predictions are from those of the model as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from tli.io import tables
from tli.io.sentences import Sentence, read_sentences
from tli.io.store import digest
from tli.log import say
from tli.model import divergence
from tli.probes.base import Answer, Probe, Setting
from tli.probes.perplexity import shipped_sentences
from tli.subjects import Subject

COLUMNS = [name for name in tables.RUNNING_TEXT if name not in tables.RUN]
VERSION = 1  # raised when a sentence gets other figures than before


@dataclass(eq=False)
class TextProbe(Probe):
    """Cross-entropy of each sentence, and KL(before || after), in nats a predicted token (formulas: tli.model.divergence.compare).

    Each sentence stands by itself after BOS. `before` are the last hidden states of the model as it came, made once for all
    subjects and held in main memory (hidden size x tokens, not vocabulary x tokens); both are turned into probabilities
    in slices. A language that the subject leaves alone (a map inside the model, for text of the other one) has the figures of the model as
    it came, so that its rise is 0 by construction. A model that is too large for memory is not streamed yet: it is opened whole, as for the tasks.
    """

    identity: dict[str, Any]  # what else the answer depends on
    quantization: str  # of a subject that is measured quantised
    sentences: Mapping[str, list[Sentence]]  # language -> what is measured
    kind: ClassVar[str] = "text"
    needs_head: ClassVar[bool] = True
    knows_languages: ClassVar[bool] = True
    once_a_seed: ClassVar[bool] = True
    answers: ClassVar[dict[str, Answer]] = {"text": Answer("text.parquet", tuple(tables.RUNNING_TEXT))}
    _ids: list[tuple[int, ...]] = field(default_factory=list)
    _before: list[Any] = field(default_factory=list)
    _head: Any = None

    @classmethod
    def of(cls, setting: Setting) -> list[TextProbe]:
        """One, of both languages of the pair; a language without a file has the shipped sentences, which decide nothing."""
        sentences: dict[str, list[Sentence]] = {}
        for language in setting.pair.split("-"):
            if language in setting.texts:
                spec, path = setting.texts[language]
                sentences[language] = [one for one in read_sentences(path, spec) if not one.is_anchor]
            elif shipped := shipped_sentences(language):
                sentences[language] = [Sentence(line, text) for line, text in enumerate(shipped, 1)]
        counts = ", ".join(f"{len(found):,} sentences in {language}" for language, found in sentences.items())
        say(f"transfer: running text: {counts or 'none'}")
        identity = {"version": VERSION, "identity": setting.check.identity, "dtype": setting.model.dtype}
        return [cls(identity, setting.model.quantization, sentences)] if sentences else []

    def key(self, subject: Subject) -> dict[str, Any]:
        quantization = self.quantization if subject.quantized else "none"
        texts = {language: digest([[one.line, one.text] for one in found]) for language, found in self.sentences.items()}
        return self.identity | {"quantization": quantization, "unit": subject.unit, "sentences": texts}

    def prepare(self, loaded: Any, subjects: Sequence[Subject]) -> None:
        tokenizer, config = loaded.opened.tokenizer, loaded.whole.config.get_text_config()
        longest = getattr(config, "max_position_embeddings", None) or 2**20
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        texts = [one.text for found in self.sentences.values() for one in found]
        self._ids = [tuple((start + ids)[:longest]) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
        self._before = divergence.last_states(loaded.opened, self._ids)
        trained_whole = any(subject.is_full for subject in subjects)  # its embeddings may be the head's weights
        self._head = loaded.whole.get_output_embeddings().weight.detach().to("cpu", copy=True) if trained_whole else None

    def measure(self, loaded: Any, subject: Subject, folder: Path) -> None:
        after = self._before if subject.is_baseline else divergence.last_states(loaded.opened, self._ids)
        changed = [subject.changes(language) for language, found in self.sentences.items() for _ in found]
        after = [its if one else before for its, before, one in zip(after, self._before, changed, strict=True)]
        entropy, kl = divergence.compare(loaded.whole, loaded.opened, self._ids, self._before, after, self._head)
        table = pd.DataFrame(
            {
                "language": [language for language, found in self.sentences.items() for _ in found],
                "sentence": [str(one.line) for found in self.sentences.values() for one in found],
                "tokens": [max(0, len(ids) - 1) for ids in self._ids],
                "cross_entropy": entropy,
                "kl": kl,
            }
        )
        table.loc[table["tokens"] > 0, COLUMNS].to_parquet(folder / "text.parquet", index=False)
