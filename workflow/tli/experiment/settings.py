"""From the config to the specs that the stages get: the one place where they are made."""

from __future__ import annotations

from tli.config import Config
from tli.specs import LexiconSpec, MeasureSpec, ModelSpec, ScanSpec, SplitSpec, StatisticsSpec, TransferSpec


def model_spec(config: Config, model: str, store: str = "") -> ModelSpec:
    """The model's section; `parameters`, a guess of its size, is no part of it. store: where its NF4 weights are kept."""
    return ModelSpec(**config.models[model].model_dump(exclude={"parameters"}), store=store)


def lexicon_spec(config: Config, pair: str) -> LexiconSpec:
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
    return ScanSpec(**config.scan.model_dump(), poolings=tuple(config.pooling.scan))


def measure_spec(config: Config) -> MeasureSpec:
    section = config.evaluation
    return MeasureSpec(
        hidden_states=tuple(section.hidden_states),
        poolings=tuple(config.pooling.evaluate),
        merge=section.merge,
        projected_pairs=section.projected_pairs,
        csls_k=config.scan.csls_k,
    )


def transfer_spec(config: Config) -> TransferSpec:
    return TransferSpec(**config.transfer.model_dump(exclude={"tasks"}), tasks=tuple(config.transfer.tasks))


def statistics_spec(config: Config) -> StatisticsSpec:
    return StatisticsSpec(**config.statistics.model_dump(), claim_at=config.evaluation.hidden_states[0], pooling=config.pooling.evaluate[0])
