"""From the config to the specs that the stages get: the one place where they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tli.config import Config
from tli.config.arms import expand_arms
from tli.config.keys.transfer import Translate
from tli.facts import languages_of_name
from tli.specs import (
    WORD,
    AcrossSpec,
    LexiconSpec,
    MapsSpec,
    MeasureSpec,
    ModelSpec,
    ScanSpec,
    SplitSpec,
    StatisticsSpec,
    TemplateSpec,
    TextSpec,
    TrainSpec,
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
        units=section.units or "",
        train=section.train,
        split=SplitSpec(**split.model_dump(exclude={"heldout_categories"}), heldout_categories=tuple(split.heldout_categories)),
    )


def template_spec(config: Config, pair: str) -> TemplateSpec | None:
    """The frames of a pair's languages; None where its words are fed by themselves alone, and for what is no pair of the config."""
    if not config.pooling.templates or pair not in config.pairs or not config.pairs[pair].train:
        return None
    made = _templates(config, pair)
    return None if set(made.source + made.target) == {WORD} else made


def _templates(config: Config, pair: str) -> TemplateSpec:
    source, target = (tuple(config.pooling.templates[language]) for language in languages_of_name(pair))
    return TemplateSpec(source, target, config.pooling.over_templates == "averaged")


def training_templates(config: Config, spec: TrainSpec, lists: Sequence[str]) -> dict[str, TemplateSpec]:
    """Of each list of a training the frames that it draws from, none where it feeds words by themselves.

    How they are measured is nothing to it.
    """
    if not spec.templates or all(template_spec(config, pair) is None for pair in lists):
        return {}
    return {pair: replace(_templates(config, pair), averaged=False) for pair in lists}


def fed_as(config: Config, pair: str) -> dict[str, str]:
    """How the evaluation feeds the words of a pair by its first pooling: the pooling's name in tables -> what is read, in words.

    The one that carries the claims comes first. Nothing where words are fed by themselves alone.
    """
    made, base = template_spec(config, pair), config.pooling.evaluate[0]
    if made is None:
        return {}
    told = [f"{made.source[number - 1]} / {made.target[number - 1]}" for number in made.numbers]
    told = [f"the mean of {len(told)} templates"] if made.averaged else told
    framed = {base + name: text for name, text in zip(made.names, told, strict=True)}
    return framed | {base: WORD} if made.carry_claims else {base: WORD} | framed


def claimed_pooling(config: Config) -> str:
    """How a word becomes a vector where claims are made, as tables name it: it is the same for all pairs."""
    made = next((spec for pair in config.pairs if (spec := template_spec(config, pair))), None)
    return config.pooling.evaluate[0] + (made.names[0] if made is not None and made.carry_claims else "")


def scan_spec(config: Config, pair: str = "") -> ScanSpec:
    """What a scan asks; without a pair: of words by themselves."""
    return ScanSpec(**config.scan.model_dump(), poolings=tuple(config.pooling.scan), templates=template_spec(config, pair))


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


def measure_spec(config: Config, pair: str = "") -> MeasureSpec:
    """What an evaluation asks of words; without a pair: by themselves."""
    section = config.evaluation
    return MeasureSpec(
        hidden_states=tuple(section.hidden_states),
        poolings=tuple(config.pooling.evaluate),
        merge=section.merge,
        projected_pairs=section.projected_pairs,
        csls_k=config.scan.csls_k,
        select_maps=tuple(name for name in ON_SELECT if name in config.maps),
        templates=template_spec(config, pair),
    )


def across_spec(config: Config, on: Sequence[str]) -> AcrossSpec:
    """What is measured on these lists: the endpoint of the claims, of words by themselves."""
    measured = measure_spec(config, on[0] if on else next(iter(config.pairs)))
    return AcrossSpec(tuple(on), measured.hidden_states[0], measured.poolings[0], measured.merge, measured.csls_k)


def trial_measure_spec(config: Config, pair: str) -> MeasureSpec:
    """How a trial is measured: where and as the claims about its runs are made."""
    whole = measure_spec(config, pair)
    templates = whole.templates.first if whole.templates is not None and whole.templates.carry_claims else None
    return replace(whole, hidden_states=whole.hidden_states[:1], poolings=whole.poolings[:1], projected_pairs=0, templates=templates)


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
    return StatisticsSpec(**config.statistics.model_dump(), claim_at=config.evaluation.hidden_states[0], pooling=claimed_pooling(config))


def text_specs(config: Config) -> dict[str, TextSpec]:
    """Running text by language."""
    return {language: TextSpec(**section.model_dump()) for language, section in config.text.items()}
