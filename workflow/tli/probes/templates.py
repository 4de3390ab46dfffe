"""The words of a list in neutral frames: each template with figures of its own, or a word's vectors over all of them averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tli.model.embedding import Embedded
from tli.model.framed import Fed, framed
from tli.probes.base import Setting
from tli.probes.words import WordsProbe
from tli.specs import TemplateSpec, plain
from tli.subjects import Subject


def in_templates(templates: TemplateSpec, forms: Sequence[str], sources: int) -> tuple[list[Fed], list[Fed]]:
    """The forms in each template that is read, one template after the other: of the source language (the first `sources`), of the other."""
    first: list[Fed] = []
    other: list[Fed] = []
    for number in templates.numbers:
        first += framed(forms[:sources], templates.source[number - 1])
        other += framed(forms[sources:], templates.target[number - 1])
    return first, other


def by_template(embedded: Embedded, templates: TemplateSpec, sources: int) -> Embedded:
    """From the vectors of `in_templates`, both languages in a row, those of the forms under (hidden state, "<pooling><name>").

    Averaged is the plain mean of a word's vectors, none of them normalised. The tokens of a word are counted in its first frame; the sink
    ratio is that of all frames together.
    """
    count = len(templates.numbers)
    others = len(embedded.token_counts) // count - sources
    begins = count * sources
    rows = [
        np.r_[number * sources : (number + 1) * sources, begins + number * others : begins + (number + 1) * others]
        for number in range(count)
    ]
    vectors: dict[tuple[int, str], np.ndarray] = {}
    for (state, pooling), values in embedded.vectors.items():
        if templates.averaged:
            vectors[state, pooling + templates.names[0]] = np.stack([values[some] for some in rows]).mean(axis=0)
        else:
            vectors |= {(state, pooling + name): values[some] for name, some in zip(templates.names, rows, strict=True)}
    return Embedded(vectors, embedded.sink_ratio, embedded.token_counts[rows[0]])


@dataclass(eq=False)
class TemplateProbe(WordsProbe):
    """What WordsProbe asks, of the words in their frames. A unit of its own beside it: a template that comes later costs its own words,
    and nothing of the words by themselves changes. Maps are fitted to a subject's vectors here only where the frames carry the claims;
    words are drawn by themselves.
    """

    @classmethod
    def of(cls, setting: Setting) -> list[WordsProbe]:
        """The probe of the pair's templates; none where there are none."""
        templates = setting.measure.templates
        if templates is None:
            return []
        select_maps = setting.measure.select_maps if templates.carry_claims else ()
        spec = replace(setting.measure, projected_pairs=0, select_maps=select_maps)
        return [cls(spec, setting.model, setting.check.identity, setting.splits, setting.states)]

    @property
    def templates(self) -> TemplateSpec:
        """The spec's, without which this probe is not made."""
        if self.spec.templates is None:
            raise ValueError("a TemplateProbe without templates: ask WordsProbe")
        return self.spec.templates

    def key(self, subject: Subject) -> dict:
        """As of the words by themselves, and their templates."""
        return super().key(subject) | {"templates": plain(self.templates)}

    @property
    def pooling(self) -> str:
        """The first that is measured, as tables name it."""
        return self.spec.poolings[0] + self.templates.names[0]

    def fed(self, forms: list[str], sources: int) -> tuple[list[Fed], list[Fed]]:
        """What the model reads for these forms, of the source language (the first `sources`) and of the other."""
        return in_templates(self.templates, forms, sources)

    def of_forms(self, embedded: Embedded, sources: int) -> Embedded:
        """The vectors of the forms by template, from those of what was `fed` for them."""
        return by_template(embedded, self.templates, sources)
