"""From the config to the specs that the stages get: the one place where they are made."""

from __future__ import annotations

from dataclasses import replace

from tli.config import Config
from tli.config.arms import expand_arms
from tli.config.keys import Translate
from tli.specs import (
    LexiconSpec,
    MapsSpec,
    MeasureSpec,
    ModelSpec,
    ScanSpec,
    SplitSpec,
    StatisticsSpec,
    TextSpec,
    TransferSpec,
    TranslateSpec,
)

TWINS = 5  # of a map, on shuffled pairs
ON_SELECT = (
    "centring",
    "procrustes",
    "ridge",
)  # those of the config's maps that are fitted to select pairs, of every subject: few pairs choose
INSIDE = ("procrustes",)  # those that are tried inside the model: one, since each costs an evaluation


def model_spec(config: Config, model: str, store: str = "") -> ModelSpec:
    """The model's section; `parameters`, a guess of its size, is no part of it. store: where its NF4 weights are kept."""
    return ModelSpec(**config.models[model].model_dump(exclude={"parameters"}), store=store)


def lexicon_spec(config: Config, pair: str) -> LexiconSpec:
    """How a pair's list is prepared and split."""
    section = config.pairs[pair]
    split = section.split or config.split
    columns = tuple(section.columns) if isinstance(section.columns, list) else section.columns
    return LexiconSpec(
        format=section.format,
        columns=columns,
        options=section.options,
        merge=section.merge,
        splits=None if section.splits is None else tuple(section.splits),
        clean=section.clean,
        split=SplitSpec(**split.model_dump(exclude={"heldout_categories"}), heldout_categories=tuple(split.heldout_categories)),
    )


def scan_spec(config: Config) -> ScanSpec:
    """What a scan asks."""
    return ScanSpec(**config.scan.model_dump(), poolings=tuple(config.pooling.scan))


def maps_spec(config: Config) -> MapsSpec:
    """Without folds a map is fitted once; its twins take the first seeds, so that a seed that is added changes nothing."""
    folds = config.split.folds > 1
    states = {state for state in config.evaluation.hidden_states if isinstance(state, int)}
    if folds:  # few states are measured then: those that the grid names are among them
        states |= {int(layer) for arm in expand_arms(config).values() for layer in arm.loss_layers if layer.isdigit()}
    return MapsSpec(
        names=tuple(config.maps),
        twins=() if folds else tuple(config.seed_list[:TWINS]),
        states=tuple(sorted(states)),
        csls_k=config.scan.csls_k,
    )


def maps_inside(config: Config) -> tuple[str, ...]:
    """The config's free maps that are tried inside the model."""
    return tuple(name for name in INSIDE if name in config.maps)


def measure_spec(config: Config) -> MeasureSpec:
    """What an evaluation asks of words."""
    section = config.evaluation
    return MeasureSpec(
        hidden_states=tuple(section.hidden_states),
        poolings=tuple(config.pooling.evaluate),
        merge=section.merge,
        projected_pairs=section.projected_pairs,
        csls_k=config.scan.csls_k,
        select_maps=tuple(name for name in ON_SELECT if name in config.maps),
    )


def trial_measure_spec(config: Config) -> MeasureSpec:
    """How a trial is measured: where and as the claims about its runs are made."""
    whole = measure_spec(config)
    return replace(whole, hidden_states=whole.hidden_states[:1], poolings=whole.poolings[:1], projected_pairs=0)


def transfer_spec(config: Config) -> TransferSpec:
    """What a transfer job asks."""
    section = config.transfer
    return TransferSpec(
        **section.model_dump(exclude={"tasks", "translate"}), tasks=tuple(section.tasks), translate=translate_spec(section.translate)
    )


def translate_spec(section: Translate | None) -> TranslateSpec | None:
    """What is asked of translation by prompt; None where nothing is."""
    return None if section is None else TranslateSpec(**section.model_dump(exclude={"shots"}), shots=tuple(section.shots))


def statistics_spec(config: Config) -> StatisticsSpec:
    """How results are tested."""
    return StatisticsSpec(**config.statistics.model_dump(), claim_at=config.evaluation.hidden_states[0], pooling=config.pooling.evaluate[0])


def text_specs(config: Config) -> dict[str, TextSpec]:
    """Running text by language."""
    return {language: TextSpec(**section.model_dump()) for language, section in config.text.items()}
