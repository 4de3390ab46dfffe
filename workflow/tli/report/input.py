"""All that a report is made from: one frozen object, checked once when it is made.

    ReportInput.of(config, tables, checks=..., audit=..., provenance=..., missing=...)   from what a stage gathered
    ReportInput(Experiment(...), Tables(...), ...)                                       by hand

After that nothing is asked whether it is there: every table has its contract's columns, and is empty where a thing was not run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from tli.config import Config
from tli.config.arms import expand_arms
from tli.config.protocols import protocol
from tli.errors import TableError
from tli.facts import CONFIRMATORY, OLDER
from tli.io import tables as contract

# What the report reads of the table that the transfer's statistics write.
TRANSFER_CELLS = [
    *[*contract.CELL, "control", "task", "language", "metric", "contrast", "seeds", "chance", "before", "after", "estimate"],
    *["low", "high", "p_holm", "p_bh", "p_by", "detectable", "sentence"],
]
STAGE_SECONDS = ["stage", "seconds", "gpu_seconds"]


def _table(*columns: str) -> Any:
    """A field for a table with these columns; without rows unless it is given."""
    return field(default_factory=lambda: pd.DataFrame(columns=list(columns)), metadata={"columns": columns})


@dataclass(frozen=True, eq=False)
class Tables:
    """The workflow's tables by name. Raises TableError for one that lacks a column of its contract; further columns may be there."""

    pairs: pd.DataFrame = _table("model", "pair", *contract.PAIRS)
    grid: pd.DataFrame = _table(*contract.GRID)
    runs: pd.DataFrame = _table(*contract.RUNS)
    losses: pd.DataFrame = _table(*contract.LOSSES)
    scan: pd.DataFrame = _table(*contract.SCAN)
    choice: pd.DataFrame = _table(*contract.CHOICE)
    trials: pd.DataFrame = _table(*contract.TRIALS)
    similarities: pd.DataFrame = _table(*contract.SIMILARITIES)
    metrics: pd.DataFrame = _table(*contract.RUN_METRICS)
    tokens: pd.DataFrame = _table(*contract.TOKENS)
    projections: pd.DataFrame = _table(*contract.PROJECTIONS)
    tests: pd.DataFrame = _table(*contract.TESTS)
    verdicts: pd.DataFrame = _table(*contract.VERDICTS)
    lines: pd.DataFrame = _table(*contract.VERDICT_LINES)
    ladder: pd.DataFrame = _table(*contract.LADDER)
    added: pd.DataFrame = _table(*contract.ADDED)
    harm: pd.DataFrame = _table(*contract.HARM)
    translation: pd.DataFrame = _table(*contract.TRANSLATION)
    across: pd.DataFrame = _table(*contract.MATRIX)
    templates: pd.DataFrame = _table(*contract.TEMPLATES)
    transfer: pd.DataFrame = _table(*contract.TRANSFER)
    transfer_cells: pd.DataFrame = _table(*TRANSFER_CELLS)
    generation: pd.DataFrame = _table(*contract.GENERATION)
    perplexity: pd.DataFrame = _table(*contract.PERPLEXITY)
    ranks: pd.DataFrame = _table()
    survival: pd.DataFrame = _table()
    words: pd.DataFrame = _table()
    gains: pd.DataFrame = _table()
    others: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # shown as they are

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            lacking = [name for name in one.metadata.get("columns", ()) if name not in getattr(self, one.name).columns]
            if lacking:
                raise TableError(f"report: the table {one.name} lacks the columns {', '.join(lacking)}; {OLDER}")

    @classmethod
    def of(cls, tables: Mapping[str, pd.DataFrame]) -> Tables:
        """From tables by name; a name that the report does not know goes to `others`."""
        known = {one.name for one in dataclasses.fields(cls)} - {"others"}
        return cls(
            **{name: frame for name, frame in tables.items() if name in known},
            others={name: frame for name, frame in tables.items() if name not in known},
        )

    @cached_property
    def confirmatory(self) -> pd.DataFrame:
        """The tests that claims rest on, at their hidden states."""
        return self.tests[(self.tests["level"] == CONFIRMATORY) & self.tests["hidden_state"].notna()].astype(
            {"pooling": object, "pool": object}
        )

    def within(self, model: str, pair: str) -> Tables:
        """The rows of one model and pair, of the tests those that claims rest on. Tables that name neither stay as they are."""
        frames = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "others"} | {
            "tests": self.confirmatory
        }
        kept = {
            name: frame[(frame["model"] == model) & (frame["pair"] == pair)]
            for name, frame in frames.items()
            if {"model", "pair"} <= {*frame.columns}
        }
        return dataclasses.replace(self, **kept)

    @cached_property
    def trained(self) -> pd.DataFrame:
        """The runs, or the grid where nothing has been trained yet."""
        return self.runs if len(self.runs) else self.grid.assign(same_as="")

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The cells that the one shown first is taken from: those with a verdict, else those of the grid."""
        return self.verdicts if len(self.verdicts) else self.grid


@dataclass(frozen=True)
class Perplexity:
    """What the check saw of a model in one language: its perplexity (inf where it has none) and that of uniform guessing."""

    language: str
    perplexity: float
    uniform: float


@dataclass(frozen=True)
class Model:
    """A model of the experiment and what its check found."""

    name: str
    demo: bool = False
    source: str = ""
    revision: str = ""
    quantization: str = "none"
    dtype: str = ""
    word_form: str = "alone"
    identity: str | None = None  # which weights the check saw; None before it ran
    is_bare: bool = False  # its tokenizer adds nothing before a word
    perplexities: tuple[Perplexity, ...] = ()


@dataclass(frozen=True)
class Arm:
    """A method as the config resolved it; its layers and ranks in the config's order."""

    name: str
    layers: tuple[str, ...] = ("best", "output")
    ranks: tuple[str, ...] = ()
    train_on: tuple[str, ...] = ()  # the pairs of a joint training


@dataclass(frozen=True)
class Claims:
    """How claims are made and corrected."""

    primary: str = "csls_p_at_1"
    correction: str = "holm"
    alpha: float = 0.05

    @property
    def adjusted(self) -> str:
        """The column of a table of tests that holds the p adjusted by the chosen method."""
        return {"benjamini-hochberg": "p_bh", "benjamini-yekutieli": "p_by"}.get(self.correction, "p_holm")


@dataclass(frozen=True)
class Experiment:
    """What was asked: the config's facts that the report speaks of."""

    title: str = "Targeted Lexical Injection"
    question: str = ""
    protocol: str = ""
    models: tuple[Model, ...] = ()
    pairs: tuple[str, ...] = ()
    families: Mapping[str, str] = field(default_factory=dict)  # pair -> its family of languages, of those that name one
    arms: tuple[Arm, ...] = ()
    seeds: tuple[int, ...] = ()
    claims: Claims = Claims()
    first_items: int | None = None  # of each task, where not all are scored (transfer.limit)

    @property
    def scored_items(self) -> str:
        """A sentence where a limit holds, which every accuracy must carry; else ""."""
        return "" if self.first_items is None else f"Of each task the first {self.first_items:,} items alone were scored (transfer.limit)."

    @property
    def is_demo(self) -> bool:
        """One of its models is too small for any claim."""
        return any(model.demo for model in self.models)

    @property
    def follows_paper(self) -> bool:
        """It runs one of the paper's two protocols, so that its figures may stand beside the published ones."""
        return self.protocol in ("paper-text", "paper-code")

    def model(self, name: str) -> Model:
        """The model of this name; of one that only the tables know, no more than its name."""
        return next((model for model in self.models if model.name == name), Model(name))

    def arm(self, name: str) -> Arm:
        """The arm of this name, as `model`."""
        return next((arm for arm in self.arms if arm.name == name), Arm(name))

    @classmethod
    def of(cls, config: Config, checks: Mapping[str, dict]) -> Experiment:
        """From a config and the records of the checks, by model."""
        return cls(
            title=config.title,
            question=config.question,
            protocol=protocol(config),
            models=tuple(_model(name, settings, checks.get(name)) for name, settings in config.models.items()),
            pairs=tuple(config.pairs),
            families={name: pair.family for name, pair in config.pairs.items() if pair.family},
            arms=tuple(
                Arm(name, arm.loss_layers, tuple(map(str, arm.ranks)), arm.training.train_on) for name, arm in expand_arms(config).items()
            ),
            seeds=tuple(config.seed_list),
            claims=Claims(config.statistics.primary, config.statistics.correction, config.statistics.alpha),
            first_items=config.transfer.limit if config.transfer.tasks else None,
        )


def _model(name: str, settings: Any, check: dict | None) -> Model:
    about = settings.demo, settings.source, settings.revision or "", settings.quantization, settings.dtype, settings.word_form
    given = Model(name, *about)
    if check is None:
        return given
    seen = [
        Perplexity(language, float("inf") if one["perplexity"] is None else one["perplexity"], one["uniform"])
        for language, one in check["perplexity"].items()
    ]
    return dataclasses.replace(given, identity=check["identity"], is_bare=not check["added_before"], perplexities=tuple(seen))


@dataclass(frozen=True)
class AuditLine:
    """One line of a word list's audit."""

    pair: str
    severity: str
    text: str


@dataclass(frozen=True, eq=False)
class Provenance:
    """What a reader needs to trust and to repeat a run; "" and nothing where it is not known."""

    commits: tuple[str, ...] = ()  # of the code that made the results, the one used last at the end
    drawn_by: str = ""  # the commit that draws the page, where it is none of those
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    config_text: str = ""
    config_digest: str = ""
    registration: str = ""  # what can be said of it, a sentence
    stage_seconds: pd.DataFrame = _table(*STAGE_SECONDS)  # a row a job
    graph: str = ""  # of the jobs: an SVG, or text
    command: str = ""


@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything that the report shows or speaks of."""

    experiment: Experiment = Experiment()
    tables: Tables = field(default_factory=Tables)
    audit: tuple[AuditLine, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    missing: tuple[str, ...] = ()  # what a partial grid lacks, in words; not empty makes a report that says so first
    within_runs: Callable[[], pd.DataFrame] | None = None  # reads the tests within runs; without it they are among tables.tests

    @classmethod
    def of(
        cls,
        config: Config,
        tables: Mapping[str, pd.DataFrame],
        *,
        checks: Mapping[str, dict],
        audit: tuple[AuditLine, ...],
        provenance: Provenance,
        missing: tuple[str, ...],
    ) -> ReportInput:
        """From what a stage gathered: the config, tables by name, and each model's record of its check.

        Raises TableError for a table that lacks a column of its contract.
        """
        return cls(Experiment.of(config, checks), Tables.of(tables), audit, provenance, missing)

    @cached_property
    def groups(self) -> tuple[tuple[str, str], ...]:
        """Every (model, pair) that a table knows, in the config's order."""
        models, pairs = [model.name for model in self.experiment.models], list(self.experiment.pairs)
        frames = (self.tables.verdicts, self.tables.grid, self.tables.runs, self.tables.scan, self.tables.metrics)
        known = dict.fromkeys(
            group for frame in frames for group in frame[["model", "pair"]].drop_duplicates().itertuples(index=False, name=None)
        )

        def place(group: tuple[str, str]) -> tuple[int, int]:
            model, pair = group
            return (models.index(model) if model in models else len(models), pairs.index(pair) if pair in pairs else len(pairs))

        return tuple(sorted(known, key=place))
