"""What a methods section says beyond the report's paragraph: lists, splits, trainings, measuring, maps, harm, tasks, registration, software."""

from __future__ import annotations

import re
from pathlib import Path

from tli.config.keys.lists import Split
from tli.config.keys.top_level import Config
from tli.experiment import Experiment
from tli.experiment.settings import lexicon_spec
from tli.io import store, table_files
from tli.io.provenance import brief
from tli.lexicon.formats import units_of
from tli.probes.task_items import HUB
from tli.publishing import public
from tli.publishing.choices import training_sentences
from tli.publishing.measuring import measuring_sentences
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
LISTS = {
    "gatitos": "GATITOS [gatitos]",
    "freedict-tei": "FreeDict [freedict]",
    "muse": "MUSE [csls]",
    "cldr": "the Unicode CLDR",
    "cldf": "word lists in CLDF",
    "flores": "FLORES",
    "moses": "parallel text",
}
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
    trained = training_sentences(experiment, is_summarised=bool((~report.tables.runs["control"].astype(bool)).any()))
    paragraphs = [
        paragraph(report),
        " ".join([*_data(config), *_digests(experiment)]),
        " ".join(trained),
        " ".join([*measuring_sentences(experiment), *_maps(config), *_harm(config), *_asked(config)]),
        " ".join([*_registered(report, experiment), *_software(report, experiment)]),
    ]
    return [text for text in paragraphs if text]


def _data(config: Config) -> list[str]:
    sentences = []
    named = sorted({LISTS[pair.format] for pair in config.pairs.values() if pair.format in LISTS})
    if named:
        sentences.append(f"Lists come from {listing(named)}.")
    sentences += _prepared(config)
    splits: dict[str, list[str]] = {}
    for name, pair in config.pairs.items():
        if pair.train:
            splits.setdefault(" ".join(_split_of(pair.split or config.split, len(config.pairs) > 1)), []).append(name)
    for text, names in splits.items():
        sentences.append(f"{listing(names)}: {text}" if len(splits) > 1 else text)
    if config.split.folds > 1:
        sentences.append(
            f"Every seed dealt the words outside the select split anew into {config.split.folds} folds, so that each was held out once a seed."
        )
    return sentences


def _split_of(split: Split, is_one_of_many: bool) -> list[str]:
    sentences = []
    joined = "an equal whole form" if split.by == "forms" else "an equal whole form or a shared content word"
    if split.sizes:
        sizes = listing([f"{count} {_split(name)}" for name, count in split.sizes.items()])
        sentences.append(f"Pairs that share {joined} stayed in one split; the sizes were {sizes} pairs.")
    else:
        shares = listing([f"{100 * share:g} % {_split(name)}" for name, share in split.shares.items() if share])
        sentences.append(f"Pairs that share {joined} stayed in one split; a hash of their forms assigned {shares}.")
    if split.heldout_categories:
        sentences.append(f"Words of the categories {listing(split.heldout_categories)} were all held out.")
    if split.leaks == "report":
        sentences.append("Where a list came with a split, pairs on both sides of it that share a form stayed where they were.")
    if is_one_of_many:
        sentences.append(
            "Lists that share a language were split together, so that no form that one trains is held out by another."
            if split.union
            else "Each list was split by itself, so that a form that one trains may be held out by another."
        )
    return sentences


def _prepared(config: Config) -> list[str]:
    """How the lists were read, where it is not as by default."""
    told = {
        "kept every row and string as in the file": [name for name, pair in config.pairs.items() if pair.clean == "verbatim"],
        "kept rows with the same source apart": [
            name for name, pair in config.pairs.items() if not pair.merge and pair.clean == "normalised"
        ],
        "came in files that are its splits": [name for name, pair in config.pairs.items() if pair.splits is not None],
        "served for measuring alone": [name for name, pair in config.pairs.items() if not pair.train],
    }
    sentences = [f"The list of {name} {text}." for text, names in told.items() for name in names]
    for name, pair in config.pairs.items():
        if units_of(lexicon_spec(config, name)) == "sentences":
            sentences.append(f"The rows of {name} are sentences.")
        if pair.options:
            sentences.append(f"{name} was read with {listing([f'{key} {value}' for key, value in sorted(pair.options.items())])}.")
    return sentences


def _digests(experiment: Experiment) -> list[str]:
    """Which lists these were, for whoever has them; those that come with the workflow by name."""
    told = []
    for name in experiment.config.pairs:
        prepared = Path(experiment.layout.lexicon(name)["pairs"])
        if prepared.exists():
            shipped = [public.told(file) for file in experiment.lists(name) if public.is_shipped(file)]
            digest = store.digest_table(table_files.read(prepared))[:12]
            told.append(f"{name} {f'({listing(shipped)}) ' if shipped else ''}{digest}")
    return [f"The prepared lists have the SHA-256 digests {listing(told)}."] if told else []


def _maps(config: Config) -> list[str]:
    if not config.maps:
        return []
    kinds = listing([MAPS.get(name, name) for name in config.maps])
    return [
        f"Beside every arm stand free linear maps, fitted in closed form to the training pairs ({kinds}), their hidden state and "
        "hyperparameter chosen on the select split."
    ]


def _harm(config: Config) -> list[str]:
    if not config.arms:
        return []
    margin = config.statistics.harm_margin
    whole = f"a model counts as left whole where the rise lies below {margin:g} nats a token in both languages"
    if not config.text:
        return [
            f"Harm is the rise of cross-entropy on the 32 sentences that the workflow ships, which are too few to decide anything; {whole}."
        ]
    return [
        f"Harm is the rise of cross-entropy on running text in {listing(sorted(config.text))} that no training read (a third of it, by a hash of "
        f"the sentence, was kept apart for anchors); {whole}."
    ]


def _asked(config: Config) -> list[str]:
    sentences, asked = [], config.transfer
    if asked.tasks:
        shots = f"{asked.num_fewshot} example{'s' * (asked.num_fewshot != 1)} before each item"
        items = "the hub" if asked.source == HUB else "files in the form of the published ones"
        sentences.append(
            f"{listing(asked.tasks)} were scored by the lm-evaluation-harness [lmeval] with {shots}; the items are from {items}."
        )
    if asked.tasks and asked.question_from is not None:
        sentences.append("The question of each XCOPA item (cause or effect) was taken from the English original.")
    if (asked.tasks or asked.translate is not None) and asked.add_bos is not None:
        sentences.append(f"BOS was {'put before' if asked.add_bos else 'left out before'} each item.")
    if asked.limit is not None and asked.translate is not None:
        sentences.append(f"Of the held-out words the first {asked.limit} were asked.")
    if asked.translate is not None:
        shots = listing([str(count) for count in asked.translate.shots])
        sentences.append(
            f"Held-out words were translated by prompt in both directions with {shots} shots, as a choice among "
            f"{asked.translate.choices} and by exact match."
        )
        if asked.translate.names:
            names = listing([f"{code} {name}" for code, name in sorted(asked.translate.names.items())])
            sentences.append(f"In the prompts languages were called: {names}.")
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
