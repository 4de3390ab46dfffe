"""What a methods section says beyond the report's paragraph: lists, splits, maps, anchors, harm, registration, software."""

from __future__ import annotations

import re
from pathlib import Path

from tli.config.keys.top_level import Config
from tli.experiment import Experiment
from tli.io.provenance import brief
from tli.report.input import ReportInput
from tli.report.methods import paragraph
from tli.statistics.sentences import listing

MAPS = {
    "centring": "centring",
    "top-components": "removal of top components",
    "whitening": "whitening",
    "procrustes": "Procrustes",
    "ridge": "ridge regression",
    "cca": "CCA",
}
LISTS = {"gatitos": "GATITOS [gatitos]", "freedict-tei": "FreeDict [freedict]"}
CITED = {
    "torch": "pytorch",
    "transformers": "transformers",
    "peft": "peft",
    "snakemake": "snakemake",
    "scipy": "scipy",
    "statsmodels": "statsmodels",
}
NAMES = {"torch": "PyTorch", "transformers": "Transformers", "peft": "PEFT", "snakemake": "Snakemake", "scipy": "SciPy"}


def methods_text(experiment: Experiment, report: ReportInput) -> list[str]:
    """The paragraphs, citations as keys in brackets (publishing.bibliography)."""
    config = experiment.config
    paragraphs = [
        paragraph(report),
        " ".join(_data(config)),
        " ".join([*_modules(experiment), *_maps(config), *_anchors(experiment), *_templates(experiment), *_harm(config), *_asked(config)]),
        " ".join([*_registered(report, experiment), *_software(report, experiment)]),
    ]
    return [text for text in paragraphs if text]


def _data(config: Config) -> list[str]:
    split, sentences = config.split, []
    named = sorted({LISTS[pair.format] for pair in config.pairs.values() if pair.format in LISTS})
    if named:
        sentences.append(f"Lists come from {listing(named)}.")
    joined = "an equal whole form" if split.by == "forms" else "an equal whole form or a shared content word"
    if split.sizes:
        sizes = listing([f"{count} {_split(name)}" for name, count in split.sizes.items()])
        sentences.append(f"Pairs that share {joined} stayed in one split; the sizes were {sizes} pairs.")
    else:
        shares = listing([f"{100 * share:g} % {_split(name)}" for name, share in split.shares.items() if share])
        sentences.append(f"Pairs that share {joined} stayed in one split; a hash of their forms assigned {shares}.")
    if split.union and len(config.pairs) > 1:
        sentences.append("Lists that share a language were split together, so that no form that one trains is held out by another.")
    if split.folds > 1:
        sentences.append(
            f"Every seed dealt the words outside the select split anew into {split.folds} folds, so that each was held out once a seed."
        )
    return sentences


def _modules(experiment: Experiment) -> list[str]:
    """On which matrices the adapters sit, arm by arm where that differs."""
    on: dict[str, list[str]] = {}
    for name, arm in experiment.arms.items():
        if not arm.training.is_full and not arm.is_control:
            on.setdefault(listing(list(arm.training.target_modules)), []).append(name)
    if not on:
        return []
    if len(on) == 1:
        return [f"Adapters sit on {next(iter(on))} of the blocks that the loss reaches."]
    return [
        f"Adapters sit on {listing([f'{modules} ({listing(arms)})' for modules, arms in on.items()])}, of the blocks that the loss reaches."
    ]


def _maps(config: Config) -> list[str]:
    if not config.maps:
        return []
    kinds = listing([MAPS.get(name, name) for name in config.maps])
    return [
        f"Beside every arm stand free linear maps, fitted in closed form to the training pairs ({kinds}), their hidden state and "
        "hyperparameter chosen on the select split."
    ]


def _anchors(experiment: Experiment) -> list[str]:
    sentences = []
    for name, arm in experiment.arms.items():
        anchor = arm.training.anchor
        if anchor is not None and not arm.is_control:
            sentences.append(
                f"The arm {name} adds {anchor.weight:g} times a penalty ({anchor.metric}) on at least {anchor.tokens_per_step} tokens of "
                "running text a step, none of which is used to measure harm."
            )
    return sentences


def _templates(experiment: Experiment) -> list[str]:
    """Which arms learn in templates."""
    arms = [name for name, arm in experiment.arms.items() if arm.training.templates and not arm.is_control]
    if not arms:
        return []
    which = "arm" if len(arms) == 1 else "arms"
    return [
        f"In the {which} {listing(arms)} the words of a batch stood in templates: for every step the seed drew one for all anchors and, "
        "independently, one for all positives."
    ]


def _harm(config: Config) -> list[str]:
    if not config.text:
        return []
    margin = config.statistics.harm_margin
    return [
        f"Harm is the rise of cross-entropy on running text in {listing(sorted(config.text))} that no training read; a model counts as left "
        f"whole where the rise lies below {margin:g} nats a token in both languages."
    ]


def _asked(config: Config) -> list[str]:
    sentences = []
    if config.transfer.tasks:
        sentences.append("Tasks were scored by the lm-evaluation-harness [lmeval].")
    if config.transfer.translate is not None:
        shots = listing([str(count) for count in config.transfer.translate.shots])
        sentences.append(
            f"Held-out words were translated by prompt in both directions with {shots} shots, as a choice among "
            f"{config.transfer.translate.choices} and by exact match."
        )
    return sentences


def _registered(report: ReportInput, experiment: Experiment) -> list[str]:
    """What the report says of a registration, whether it was before the first result too."""
    return [report.provenance.registration] if Path(experiment.layout.registration()).exists() else []


def _software(report: ReportInput, experiment: Experiment) -> list[str]:
    versions, sentences = report.provenance.versions, []
    named = []
    for name, version in versions.items():
        key = f" [{CITED[name]}]" if name in CITED else ""
        named.append(f"{NAMES.get(name, name)} {re.sub(r'[+].*', '', version)}{key}")
    if any(model.quantization == "nf4" for model in report.experiment.models):
        sentences.append("Weights were held in 4 bits (NF4 [qlora]).")
    if named:
        sentences.append(f"Software: {listing(named)}.")
    if report.provenance.devices:
        sentences.append(f"Jobs ran on {listing(list(report.provenance.devices))}.")
    if commits := [brief(commit) for commit in report.provenance.commits]:
        sentences.append(f"The workflow is that of commit{'s' * (len(commits) > 1)} {listing(commits)}.")
    return sentences


def _split(name: str) -> str:
    return {"heldout": "held-out"}.get(name, name)
