"""The config as an experiment: its grid of runs, where each file lies, its jobs, what can be known before the first one. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from tli.config import Config
from tli.config.arms import ResolvedArm, expand_arms
from tli.config.keys.measures import ALL
from tli.experiment.grid import BASELINE, GridRun, expand, folds_of, table_of, trained_pairs
from tli.experiment.layout import Layout
from tli.experiment.settings import maps_inside, model_spec, text_specs
from tli.lexicon import before
from tli.specs import ModelSpec, TextSpec


@dataclass(frozen=True)
class Part:
    """What one job of the evaluation or the transfer measures."""

    name: str
    runs: tuple[GridRun, ...] = ()
    baselines: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()  # free maps that stand inside the model

    @property
    def is_unquantised(self) -> bool:
        """Whether it needs the unquantised weights: full fine-tuning, and the baseline that it is compared with."""
        return any(name != BASELINE for name in self.baselines) or any(run.is_full for run in self.runs)

    def __len__(self) -> int:
        return len(self.runs) + len(self.baselines) + len(self.inside)


@dataclass(frozen=True, eq=False)
class Experiment:
    """A config, expanded. What costs time is made once, when it is first asked for."""

    config: Config

    @cached_property
    def arms(self) -> dict[str, ResolvedArm]:
        return expand_arms(self.config)

    @cached_property
    def runs(self) -> list[GridRun]:
        """Every run of the grid, in the config's order."""
        return expand(self.config, self.arms)

    @cached_property
    def grid(self) -> pd.DataFrame:
        """The runs as a table, columns tables.GRID."""
        return table_of(self.runs)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.config.results)

    @property
    def trains_nothing(self) -> bool:
        """No arms: a look at the base model, and at free maps."""
        return not self.arms

    @property
    def has_folds(self) -> bool:
        return self.config.split.folds > 1

    @property
    def judged(self) -> list[tuple[int, int]]:
        """Seeds and folds for which the base model is judged: each, or once for all without folds (-1, 0)."""
        if not self.has_folds:
            return [(-1, 0)]
        return [(seed, fold) for seed in self.config.seed_list for fold in folds_of(self.config)]

    @property
    def model_pairs(self) -> list[tuple[str, str]]:
        """Every model and pair that is trained on: what is scanned and measured pair by pair."""
        return [(model, pair) for model in self.config.models for pair in self.trained_pairs]

    @property
    def trained_pairs(self) -> list[str]:
        """Pairs that are trained on; on the others adapters are measured, and nothing else."""
        return trained_pairs(self.config)

    @property
    def lists_measured(self) -> list[str]:
        """Pairs on whose lists every adapter is measured (stage across), in the config's order; none where each keeps to its own."""
        asked = self.config.evaluation.on
        return [pair for pair in self.config.pairs if ALL in asked or pair in asked]

    @property
    def measures_across(self) -> bool:
        """Whether there is anything for the stage across to do."""
        return bool(self.arms and self.lists_measured)

    @property
    def matrices(self) -> list[tuple[str, str]]:
        """Every model and arm of which a cross-pair matrix is drawn."""
        arms = [arm.name for arm in self.arms.values() if not arm.is_control] if self.measures_across else []
        return [(model, arm) for model in self.config.models for arm in arms]

    @cached_property
    def cells(self) -> list[GridRun]:
        """The first seed's run of every cell."""
        return list({(run.model, run.pair, *run.cell): run for run in reversed(self.runs)}.values())[::-1]

    @cached_property
    def tuned_cells(self) -> list[GridRun]:
        """The first seed's run of every cell that has trials of its own: a placebo takes its arm's choice, and the other pairs of a joint
        training that of the first one.
        """
        arms = self.arms
        return [run for run in self.cells if arms[run.arm].tune and not run.placebo_of and run.pair == arms[run.arm].lists(run.pair)[0]]

    @cached_property
    def _by_model_pair(self) -> dict[tuple[str, str], list[GridRun]]:
        groups: dict[tuple[str, str], list[GridRun]] = {key: [] for key in self.model_pairs}
        for run in self.runs:
            groups[run.model, run.pair].append(run)
        return groups

    def runs_of(self, model: str, pair: str) -> list[GridRun]:
        return self._by_model_pair[model, pair]

    def model(self, name: str) -> ModelSpec:
        """A model as it is opened, with the store where its NF4 weights are kept."""
        return model_spec(self.config, name, self.layout.store)

    def on_hub(self, model: str) -> bool:
        """True for a hub id, False for a folder on disk."""
        source = self.config.models[model].source
        local = Path(source).is_dir() or source.startswith((".", "/", "~", "resources/"))
        return not local and source.count("/") == 1

    def lists(self, pair: str) -> list[str]:
        """The lexicon's files or addresses, a list also where there is one."""
        lexicon = self.config.pairs[pair].lexicon
        return [lexicon] if isinstance(lexicon, str) else list(lexicon)

    def entries(self, pair: str) -> list[str]:
        """Where the lexicon's files lie, fetched ones too; or names that are no files (a CLDR locale)."""
        return [self.layout.fetched_list(pair, i) if is_address(entry) else entry for i, entry in enumerate(self.lists(pair))]

    def texts(self, languages: Sequence[str]) -> dict[str, tuple[TextSpec, str]]:
        """Running text of these languages, as far as there is any, and the file where it lies or is fetched to."""
        there = {language: text for language, text in text_specs(self.config).items() if language in languages}
        return {
            language: (text, self.layout.fetched_text(language) if is_address(text.file) else text.file) for language, text in there.items()
        }

    @property
    def has_transfer(self) -> bool:
        """Whether anything is asked of the models with their heads: tasks, running text, translation."""
        return bool(self.config.transfer.tasks or self.config.text or self.translates)

    @property
    def translates(self) -> bool:
        """Whether the models are asked to translate the held-out words by prompt."""
        return self.config.transfer.translate is not None

    @property
    def seed_chunks(self) -> list[list[int]]:
        """The seeds of a cell as they are cut into jobs."""
        seeds, size = self.config.seed_list, self.config.jobs.seeds_per_job
        return [seeds] if size == "all" else [seeds[i : i + size] for i in range(0, len(seeds), size)]

    @property
    def layers_asked(self) -> list[str]:
        """Every loss layer of the grid as text, in the config's order."""
        return list(dict.fromkeys(layer for arm in self.arms.values() for layer in arm.loss_layers))

    def trained_with(self, pair: str) -> list[str]:
        """The other pairs on whose lists some run of this pair is trained, in the config's order."""
        together = {other for arm in self.arms.values() if arm.is_of(pair) for other in arm.lists(pair)}
        return [other for other in self.config.pairs if other in together and other != pair]

    def may_leak_to(self, pair: str) -> list[str]:
        """Those of `trained_with` that may train a form which this pair holds out: a list that was split beside this one does not."""
        splits = {name: section.split or self.config.split for name, section in self.config.pairs.items()}
        unions = {name: split.union for name, split in splits.items()}

        def together(other: str) -> bool:
            beside = other in before(unions, pair) or pair in before(unions, other)
            return beside and splits[pair].leaks == splits[other].leaks == "error"

        return [other for other in self.trained_with(pair) if not together(other)]

    def chosen_by(self, pair: str) -> list[tuple[str, ...]]:
        """For each `best` of this pair's runs, the lists that choose it; each once."""
        return list(dict.fromkeys(arm.lists(pair) for arm in self.arms.values() if arm.is_of(pair) and "best" in arm.loss_layers))

    @property
    def numbers_asked(self) -> list[int]:
        """Hidden states that the config names by number."""
        numbers = [int(layer) for layer in self.layers_asked if layer.isdigit()]
        return sorted({*numbers, *(state for state in self.config.evaluation.hidden_states if isinstance(state, int))})

    @property
    def target_modules(self) -> list[str]:
        """Every module that an adapter is put on in some arm."""
        return sorted({name for arm in self.arms.values() if not arm.training.is_full for name in arm.training.target_modules})

    def parts(self, stage: str, model: str, pair: str) -> dict[str, Part]:
        """How the evaluation or the transfer of a model and pair is cut into jobs.

        Adapters share parts of `jobs.adapters_per_job` (`jobs.adapters_per_transfer_job`). A fully trained run has a part of
        its own, so that its weights can go as soon as it is measured and are not wanted again when another run is added.
        """
        if (stage, model, pair) not in self._parts:
            self._parts[stage, model, pair] = self._cut(stage, model, pair)
        return self._parts[stage, model, pair]

    @cached_property
    def _parts(self) -> dict[tuple[str, str, str], dict[str, Part]]:
        return {}

    def _cut(self, stage: str, model: str, pair: str) -> dict[str, Part]:
        every_fold = stage != "transfer" or self.translates  # tasks and text: on one fold a seed
        runs = [run for run in self.runs_of(model, pair) if every_fold or run.fold <= 1]
        adapters = [run for run in runs if not run.is_full]
        size = self.config.jobs.adapters_per_transfer_job if stage == "transfer" else self.config.jobs.adapters_per_job
        parts: list[Part] = []
        if not runs:
            return {}
        for number, first in enumerate(range(0, max(len(adapters), 1), size), 1):
            beside = ((BASELINE,), maps_inside(self.config)) if number == 1 else ((), ())
            parts.append(Part(f"part-{number}", tuple(adapters[first : first + size]), *beside))
        parts += [Part(name, (), (name,)) for name in sorted({run.baseline for run in runs} - {BASELINE})]
        parts += [Part(run.run.replace("/", "."), (run,)) for run in runs if run.is_full]
        return {part.name: part for part in parts}

    @cached_property
    def _across(self) -> dict[str, dict[str, Part]]:
        return {
            model: _parts_across([run for run in self.runs if run.model == model], self.config.jobs.adapters_per_job)
            for model in self.config.models
        }

    def across_parts(self, model: str) -> dict[str, Part]:
        """How the measuring of a model's runs on the lists of `evaluation.on` is cut into jobs: as `parts`, over all pairs."""
        return self._across[model] if self.measures_across else {}

    def projected_runs(self, model: str, pair: str) -> list[str]:
        """Runs whose words are drawn by t-SNE and PCA: the first of every cell that is no control."""
        return [run.run for run in self.cells if (run.model, run.pair) == (model, pair) and not run.control]


def _parts_across(runs: list[GridRun], size: int) -> dict[str, Part]:
    adapters = [run for run in runs if not run.is_full]
    firsts = range(0, max(len(adapters), 1), size)
    parts = [
        Part(f"part-{number}", tuple(adapters[first : first + size]), (BASELINE,) if number == 1 else ())
        for number, first in enumerate(firsts, 1)
    ]
    parts += [Part(name, (), (name,)) for name in sorted({run.baseline for run in runs} - {BASELINE})]
    parts += [Part(f"{run.pair}.{run.run.replace('/', '.')}", (run,)) for run in runs if run.is_full]
    return {part.name: part for part in parts}


def is_address(entry: str) -> bool:
    """Whether a lexicon's entry is fetched, not read from the disk."""
    return entry.startswith(("https://", "http://"))
