"""Running text: how well a subject predicts it, and how far its predictions are from those of the base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from tli.io import tables
from tli.io.sentences import Sentence, read_sentences
from tli.io.store import digest
from tli.log import say
from tli.probes.base import Answer, Probe, Setting
from tli.probes.perplexity import shipped_sentences
from tli.probes.predictions import Predictions
from tli.subjects import Subject

COLUMNS = [name for name in tables.RUNNING_TEXT if name not in tables.RUN]
VERSION = 1  # raised when a sentence gets other figures than before


@dataclass(eq=False)
class TextProbe(Probe):
    """Cross-entropy of each sentence, and KL(before || after), in nats a predicted token (tli.probes.predictions).

    A language that the subject leaves alone (a map inside the model, for text of the other one) has the figures of the model as it
    came, so that its rise is 0 by construction.
    """

    identity: dict[str, Any]  # what else the answer depends on
    quantization: str  # of a subject that is measured quantised
    sentences: Mapping[str, list[Sentence]]  # language -> what is measured
    predictions: Predictions
    kind: ClassVar[str] = "text"
    needs_head: ClassVar[bool] = True
    knows_languages: ClassVar[bool] = True
    once_a_seed: ClassVar[bool] = True
    answers: ClassVar[dict[str, Answer]] = {"text": Answer("text.parquet", tuple(tables.RUNNING_TEXT))}

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
        counts = ", ".join(
            f"{len(found):,} sentences in {language}" + ("" if language in setting.texts else " (shipped: they decide nothing)")
            for language, found in sentences.items()
        )
        say(f"transfer: running text: {counts or 'none'}")
        setting.predictions.ask(one.text for found in sentences.values() for one in found)
        identity = {"version": VERSION, "identity": setting.check.identity, "dtype": setting.model.dtype}
        return [cls(identity, setting.model.quantization, sentences, setting.predictions)] if sentences else []

    def key(self, subject: Subject) -> dict[str, Any]:
        quantization = self.quantization if subject.quantized else "none"
        texts = {language: digest([[one.line, one.text] for one in found]) for language, found in self.sentences.items()}
        return self.identity | {"quantization": quantization, "unit": subject.unit, "sentences": texts}

    def prepare(self, loaded: Any, subjects: Sequence[Subject]) -> None:
        self.predictions.prepare(loaded, subjects)

    def measure(self, loaded: Any, subject: Subject, folder: Path) -> None:
        known, before = self.predictions.of(loaded, subject), {}
        if not all(subject.changes(language) for language in self.sentences) and not subject.is_baseline:
            before = self.predictions.as_it_came(loaded)
        rows = [
            (language, str(one.line), (known if subject.changes(language) else before or known)[one.text])
            for language, found in self.sentences.items()
            for one in found
        ]
        table = pd.DataFrame(
            [[language, line, of.tokens, of.cross_entropy, of.kl] for language, line, of in rows if of.tokens], columns=COLUMNS
        )
        table.to_parquet(folder / "text.parquet", index=False)
