"""Measure a lexicon on an opened model: embed its forms, then every figure of every pair, split and hidden state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from tli import metrics
from tli.io import store, tables
from tli.lexicon.audit import COGNATE
from tli.metrics.projection import project
from tli.model.embedding import Embedded, embed
from tli.model.framed import Fed
from tli.model.opened import Loaded, Opened
from tli.probes.base import Answer, Probe, Setting, TrainedElsewhere, nothing_elsewhere
from tli.probes.listed import Listed, similarity_of
from tli.probes.riding import PLAIN, Ride, Rider, ride
from tli.probes.select_maps import measure_select_maps
from tli.specs import STAGE_VERSIONS, MeasureSpec, ModelSpec
from tli.subjects import Subject


@dataclass(frozen=True, eq=False)
class Figures:
    """What a list gives on a subject."""

    rows: pd.DataFrame  # one a query, pool, hidden state and pooling: tables.SIMILARITIES after the run's names
    figures: pd.DataFrame  # one a split, pool, hidden state and pooling: tables.RUN_METRICS after the run's names
    strata: pd.DataFrame  # the same for parts of a split: tables.STRATA after the run's names
    vectors: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]  # (hidden state, pooling) -> source, target vectors by pair, float32


def measure(
    opened: Opened,
    listed: Listed,
    hidden_states: Sequence[int],
    poolings: Sequence[str],
    *,
    k: int = 10,
    progress: Callable[[int], None] | None = None,
) -> Figures:
    """Embed the forms of a list on an opened model, then take `figures_of` them."""
    return figures_of(embed(opened, listed.forms, list(hidden_states), list(poolings), progress=progress), listed, opened.layers, k)


def figures_of(embedded: Embedded, listed: Listed, layers: int, k: int = 10) -> Figures:
    """Every figure of a list from the vectors of its forms. layers: L, whose hidden state is normed."""
    pairs, candidates = listed.pairs, listed.candidates
    facts = pairs[["cognate", "category"]]
    if len(embedded.token_counts) == len(candidates.forms):
        facts = facts.assign(token_count=embedded.token_counts[candidates.source_of])
    questions = metrics.Questions(pairs["split"].to_numpy(), listed.similarity, metrics.strata.parts(facts, cognate_from=COGNATE))
    rows, figures, vectors = [], [], {}
    for (state, pooling), stacked in embedded.vectors.items():
        whole = listed.vectors(stacked)
        for pool in listed.pools:
            place = {"hidden_state": state, "pooling": pooling}
            ratio = embedded.sink_ratio[state]
            of_pairs, by_split = metrics.evaluate_pool(whole, pool, questions, k=k, sink_ratio=ratio)
            asked = pairs.iloc[of_pairs.pop("pair").to_numpy()]
            names = {"pair_id": asked["pair_id"].to_numpy(), "split": asked["split"].to_numpy(), **place}
            rows.append(pd.concat([pd.DataFrame(names, index=of_pairs.index), of_pairs], axis=1))
            figures.append(by_split.assign(**place, normed=state == layers))
        vectors[state, pooling] = (whole.source[candidates.source_of], whole.target[candidates.target_of])
    both = pd.concat(figures, ignore_index=True)
    parts = both["stratum"] != ""
    return Figures(
        pd.concat(rows, ignore_index=True)[[name for name in tables.SIMILARITIES if name not in tables.RUN]],
        both.loc[~parts, [name for name in tables.RUN_METRICS if name not in tables.RUN]].reset_index(drop=True),
        both.loc[parts, [name for name in tables.STRATA if name not in tables.RUN]].reset_index(drop=True),
        vectors,
    )


@dataclass(eq=False)
class WordsProbe(Probe):
    """The words of a list at hidden states: every pair, every figure, its strata, for some subjects their projections, and what a
    free map adds that is fitted to the subject's own vectors of the select pairs.
    """

    spec: MeasureSpec
    model: ModelSpec
    identity: str  # of the model
    splits: Callable[[int, int], pd.DataFrame]  # the pairs with the splits of a seed and fold, columns tables.PAIRS
    states: Mapping[str, Sequence[int]]  # of each subject's run: the hidden states at which it is measured
    projected: frozenset[tuple[str, int, int]] = frozenset()  # run, seed and fold of whom the words are drawn by t-SNE and PCA
    elsewhere: TrainedElsewhere = nothing_elsewhere
    kind: ClassVar[str] = "evaluate"
    knows_languages: ClassVar[bool] = True
    answers: ClassVar[dict[str, Answer]] = {
        "rows": Answer("similarities.parquet", tuple(tables.SIMILARITIES)),
        "figures": Answer("metrics.tsv", tuple(tables.RUN_METRICS)),
        "strata": Answer("strata.tsv", tuple(tables.STRATA)),
        "mapped": Answer("select-maps-similarities.parquet", tuple(tables.SIMILARITIES)),
        "fits": Answer("select-maps.tsv", tuple(tables.SELECT_MAPS)),
        "projections": Answer("projections.parquet", tuple(tables.PROJECTIONS)),
    }
    _waiting: list[Subject] = field(default_factory=list)  # of a streamed model: whose words are still to be read
    _read: Ride = field(default_factory=lambda: Ride([], {}))  # the last reading
    _base: Embedded | None = None  # of the base model: with folds it is judged many times

    @classmethod
    def of(cls, setting: Setting) -> list[WordsProbe]:
        identity = setting.check.identity
        return [cls(setting.measure, setting.model, identity, setting.splits, setting.states, setting.projected, setting.elsewhere)]

    def key(self, subject: Subject) -> dict:
        elsewhere = self.elsewhere(subject.seed, subject.fold)
        key = {
            "version": STAGE_VERSIONS["evaluate"],
            "identity": self.identity,
            "dtype": self.model.dtype,
            "quantization": self.model.quantization if subject.quantized else "none",
            "unit": subject.unit,
            "states": list(self.states[subject.run]),
            "poolings": list(self.spec.poolings),
            "k": self.spec.csls_k,
            "merge": self.spec.merge and not subject.is_baseline,
            "pairs": self._digest(subject.seed, subject.fold),
            "projected": self._projected_pairs(subject),
            **self.model.word_key,
        } | ({"select_maps": list(self.spec.select_maps)} if self.spec.select_maps else {})
        return key | ({"trained_elsewhere": sorted(elsewhere)} if elsewhere else {})

    @cache  # noqa: B019 (it lives as long as the job)
    def _digest(self, seed: int, fold: int) -> str:
        return store.digest_table(self.splits(seed, fold))

    @cache  # noqa: B019
    def _listed(self, seed: int, fold: int) -> Listed:
        """A fold's adapter is measured in its own pool only; whoever has no fold in the whole list too."""
        pairs, elsewhere = self.splits(seed, fold), self.elsewhere(seed, fold)
        return Listed.of(pairs, self._similarity, whole_list=not fold, elsewhere=elsewhere)

    @cached_property
    def _similarity(self) -> np.ndarray | None:
        return similarity_of(self.splits(-1, 0))

    def prepare(self, loaded: Loaded, subjects: Sequence[Subject]) -> None:
        self._base, self._read = None, Ride([], {})
        self._waiting = list(subjects) if loaded.opened.stream is not None else []

    def _ride(self, opened: Opened, subject: Subject) -> None:
        """Of a streamed model: the words of this subject and of others that wait, in one reading of its files."""
        self._read = Ride([], {})  # before others come
        riders: dict[str, Rider] = {}
        for one in [subject, *self._waiting]:
            riders.setdefault(one.unit, Rider(one, self.states[one.run])).forms.update(dict.fromkeys(self._forms(one)))
        self._read = ride(opened, riders.values(), self.spec.poolings, self.spec.merge)
        self._waiting = [one for one in self._waiting if one.unit not in self._read.read]

    @property
    def pooling(self) -> str:
        """The first that is measured, as tables name it: where maps are fitted to the subject's vectors, and words are drawn."""
        return self.spec.poolings[0]

    def fed(self, forms: list[str], sources: int) -> tuple[list[Fed], list[Fed]]:
        """What the model reads for these forms, of the source language (the first `sources`) and of the other."""
        return [*forms[:sources]], [*forms[sources:]]

    def of_forms(self, embedded: Embedded, sources: int) -> Embedded:
        """The vectors of the forms, from those of what was `fed` for them, the source language's first."""
        return embedded

    def _sides(self, subject: Subject) -> tuple[list[Fed], list[Fed]]:
        """The base model is embedded once, with all forms; an adapter with those that it is asked for."""
        listed = self._listed(subject.seed, subject.fold)
        if subject.is_baseline:
            return self.fed(listed.candidates.forms, len(listed.candidates.source_forms))
        return self.fed(listed.forms, listed.sources)

    def _forms(self, subject: Subject) -> list[Fed]:
        first, other = self._sides(subject)
        return [*first, *other]

    def measure(self, loaded: Loaded, subject: Subject, folder: Path) -> None:
        listed = self._listed(subject.seed, subject.fold)
        embedded = self._vectors(loaded, subject)
        if subject.is_baseline and listed.forms != listed.candidates.forms:
            first, other = self.fed(listed.forms, listed.sources)
            embedded = embedded.of(self._forms(subject), [*first, *other])
        embedded = self.of_forms(embedded, listed.sources)
        result = figures_of(embedded, listed, loaded.opened.layers, self.spec.csls_k)
        result.rows.to_parquet(folder / "rows.parquet", index=False)
        result.figures.to_parquet(folder / "figures.parquet", index=False)
        result.strata.to_parquet(folder / "strata.parquet", index=False)
        self._with_map(embedded, listed, subject, folder)
        if self._projected_pairs(subject):
            drawn = self.states[subject.run][0], self.pooling
            asked = np.sort(np.unique(np.concatenate([pool.pairs for pool in listed.pools])))
            source, target = (side[asked] for side in result.vectors[drawn])
            maps = project(source, target, listed.pairs.iloc[asked].reset_index(drop=True), self.spec.projected_pairs)
            maps.insert(0, "hidden_state", drawn[0])
            maps.to_parquet(folder / "projections.parquet", index=False)

    def _with_map(self, embedded: Embedded, listed: Listed, subject: Subject, folder: Path) -> None:
        if subject.map_inside:
            return
        pooling = self.pooling
        at = {state: listed.vectors(embedded.vectors[state, pooling]) for state in self.states[subject.run]}
        made = measure_select_maps(at, listed, self.spec.select_maps, pooling, self.spec.csls_k) if self.spec.select_maps else None
        if made is not None:
            made.rows.to_parquet(folder / "mapped.parquet", index=False)
            made.fits.to_parquet(folder / "fits.parquet", index=False)

    def _vectors(self, loaded: Loaded, subject: Subject) -> Embedded:
        if loaded.opened.stream is not None:
            if subject.unit not in self._read.read:
                self._ride(loaded.opened, subject)
            forms, read = self._read.forms, self._read.read
            first, other = self._sides(subject)
            if not subject.map_inside:
                return read[subject.unit].of(forms, [*first, *other])
            return read[subject.unit].of(forms, first).above(read[PLAIN].of(forms, other))
        if subject.is_baseline and self._base is not None:
            return self._base
        states, poolings = list(self.states[subject.run]), list(self.spec.poolings)
        first, other = self._sides(subject)
        if not subject.map_inside:
            embedded = embed(loaded.opened, [*first, *other], states, poolings)
        else:
            embedded = embed(loaded.opened, first, states, poolings)
            with subject.map_inside.paused(loaded.opened):  # the other language is read as the model came
                embedded = embedded.above(embed(loaded.opened, other, states, poolings))
        if subject.is_baseline:
            self._base = embedded
        return embedded

    def _projected_pairs(self, subject: Subject) -> int:
        return self.spec.projected_pairs if subject.place in self.projected else 0


def states_of(asked: Sequence[str | int], layers: int, loss_layers: Sequence[int]) -> list[int]:
    """Hidden states as numbers, in the config's order, each once. `asked` may name "output" and "loss-layer"."""
    resolved: list[int] = []
    for state in asked:
        resolved += [layers] if state == "output" else loss_layers if state == "loss-layer" else [int(state)]
    return list(dict.fromkeys(resolved))
