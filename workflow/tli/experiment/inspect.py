"""What can be known of an experiment before its first job, from the files at hand. No torch."""

from __future__ import annotations

import os
from pathlib import Path

from tli import lexicon
from tli.errors import ConfigError, LexiconError, ModelError, TliError
from tli.experiment import Experiment, is_address
from tli.experiment.settings import lexicon_spec
from tli.io.records import read_check
from tli.io.sentences import read_sentences
from tli.model.files import check_folder, linear_modules
from tli.probes.task_items import HUB, check_data
from tli.specs import ALL_LINEAR

LONG_LIST = 300_000  # bytes; cleaning and splitting more takes seconds, before every start of Snakemake


def inspect(experiment: Experiment) -> None:
    """Raises ConfigError with every problem, a line each."""
    config = experiment.config
    layers = {model: _layers(experiment, model) for model in config.models}
    problems = _results_problems(Path(config.results))
    for model in config.models:
        problems += _model_problems(experiment, model)
    problems += _reach_problems(experiment, min((depth for depth in layers.values() if depth), default=0))
    union = lexicon.Union()
    for pair in config.pairs:
        problems += _pair_problems(experiment, pair, union)
    transfer = config.transfer
    if transfer.tasks and transfer.source != HUB:
        try:
            check_data(transfer.tasks, transfer.source, transfer.question_from, transfer.num_fewshot)
        except TliError as error:
            problems.append(f"transfer: {error}")
    for language, (text, path) in experiment.texts(list(config.text)).items():
        if not is_address(text.file):
            try:
                read_sentences(path, text)
            except ConfigError as error:
                problems.append(f"text.{language}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))


def unpinned(experiment: Experiment) -> list[str]:
    """Hub models without a commit: they are not run, since nobody could repeat it."""
    return [name for name, model in experiment.config.models.items() if experiment.on_hub(name) and not model.revision]


def _layers(experiment: Experiment, model: str) -> int | None:
    """L, as an earlier check of the model has it or as its files say; None where neither is there."""
    try:
        return read_check(experiment.layout.check(model)).layers
    except TliError:
        pass
    try:
        return check_folder(Path(experiment.config.models[model].source))["layers"]
    except ModelError:
        return None


def _results_problems(folder: Path) -> list[str]:
    above = next((place for place in [folder, *folder.absolute().parents] if place.exists()), Path("/"))
    if not above.is_dir():
        return [f"results: {above} is a file; name a folder"]
    if not os.access(above, os.W_OK):
        return [f"results: {above} cannot be written to; name another folder"]
    return []


def _model_problems(experiment: Experiment, model: str) -> list[str]:
    source = experiment.config.models[model].source
    if experiment.on_hub(model):
        return _beyond(experiment, model, _layers(experiment, model))
    folder = Path(source)
    if not folder.is_dir():
        return [f"models.{model}.source: {folder} is no folder; give a folder with config.json, or a hub id such as owner/name"]
    try:
        layers = check_folder(folder)["layers"]
    except ModelError as error:
        return [f"models.{model}: {error}"]
    modules = linear_modules(folder)
    there = ", ".join(sorted({module.rsplit(".", 1)[-1] for module in modules}))
    lacking = [
        f"arms.{name}.target_modules: no block of models.{model} has a module {target!r}; it has {there}"
        for name, arm in experiment.arms.items()
        for target in (() if arm.training.is_full else arm.training.target_modules)
        if modules and target != ALL_LINEAR and not any(module.endswith("." + target) for module in modules)
    ]
    return _beyond(experiment, model, layers) + lacking


def _beyond(experiment: Experiment, model: str, layers: int | None) -> list[str]:
    if layers is None:
        return []
    asked = [k for k in experiment.numbers_asked if k > layers]
    return [
        f"models.{model}: {experiment.config.models[model].source} has hs[0] to hs[{layers}]; the config asks for hs[{k}]" for k in asked
    ]


def _reach_problems(experiment: Experiment, depth: int) -> list[str]:
    """Adapters that the loss cannot reach. depth: L of the shallowest model, 0 where none is known."""
    problems = []
    for name, arm in experiment.arms.items():
        spec = arm.training
        if spec.allow_unreached or spec.is_full:
            continue
        asked = {"reachable": 0, "all": depth}.get(spec.adapted_blocks, spec.adapted_blocks)
        shown = "all blocks" if spec.adapted_blocks == "all" else f"{asked} blocks"
        problems += [
            f"arms.{name}: adapters are asked for on {shown}, but a loss at hs[{layer}] reaches only the first {layer}; "
            "set adapted_blocks: reachable, or allow_unreached: true"
            for layer in arm.loss_layers
            if layer.isdigit() and asked > int(layer)
        ]
    if "0" in experiment.layers_asked:
        problems.append("loss_layer 0: hs[0] are the embeddings; no block lies below, so nothing can learn: take 1 or more")
    return problems


def _pair_problems(experiment: Experiment, pair: str, union: lexicon.Union) -> list[str]:
    section, entries = experiment.config.pairs[pair], experiment.lists(pair)
    files = [entry for entry in entries if not is_address(entry)]
    checksums = [section.sha256] if isinstance(section.sha256, str) else section.sha256 or []
    problems = []
    if len(files) < len(entries) and len(checksums) != len(entries):
        problems.append(f"pairs.{pair}: an address needs its checksum; add sha256, one for each file of the lexicon")
    absent = [entry for entry in files if section.format != "cldr" and not Path(entry).exists()]
    problems += [
        f"pairs.{pair}.lexicon: {entry} is not there; give the path from {Path.cwd().name}/ or an https address" for entry in absent
    ]
    if absent or len(files) < len(entries):
        return problems
    try:
        return problems + _list_problems(experiment, pair, files, union)
    except LexiconError as error:
        return [*problems, f"pairs.{pair}: {error}"]


def _list_problems(experiment: Experiment, pair: str, files: list[str], union: lexicon.Union) -> list[str]:
    """What the list lacks for what is asked of it, split beside those before it that could be read.

    A long list is only read here; its job cleans and splits it. Raises LexiconError.
    """
    spec = lexicon_spec(experiment.config, pair)
    parts = [part for file in files for part in [Path(file), *Path(file).glob("*")]]
    if sum(part.stat().st_size for part in parts if part.is_file()) > LONG_LIST:
        lexicon.read(files, pair, spec)
        return []
    pairs, _, _ = union.add(pair, files, spec)
    trained = int((pairs["split"] == "train").sum())
    problems = [f"pairs.{pair}: the train split has {trained} pairs; at least 2 are needed"] if trained < 2 else []
    if not (pairs["split"] == "select").any():
        tuned = [f"arms.{name}.tune" for name, arm in experiment.arms.items() if arm.tune]
        problems += [f"{key}: {pair} has no select pairs to choose by; give split.shares.select a share" for key in tuned[:1]]
    for name, arm in experiment.arms.items():
        select = arm.training.select
        if select is not None and select.budget > trained:
            problems.append(f"arms.{name}.select: a budget of {select.budget} pairs; the train split of {pair} has {trained}")
    return problems
