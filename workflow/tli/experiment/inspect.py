"""What can be known of an experiment before its first job, from the files at hand. No torch."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from tli import lexicon
from tli.config import Config
from tli.config.arms import written_at
from tli.config.places import Problem, refusal
from tli.errors import ConfigError, LexiconError, ModelError, TliError
from tli.experiment import Experiment, is_address
from tli.experiment.columns import Columns
from tli.experiment.folds import Splits
from tli.experiment.recalled import Question
from tli.experiment.settings import lexicon_spec
from tli.io.records import read_check
from tli.io.sentences import read_sentences
from tli.model.files import check_folder, linear_modules
from tli.probes.task_items import check_data
from tli.specs import ALL_LINEAR

LONG_LIST = 10_000  # rows; cleaning and splitting more takes seconds, before every start of Snakemake


def inspect(experiment: Experiment) -> dict[str, dict[str, int]]:
    """How many pairs each split of each list has (with folds: of each run), as far as that is known before its job.

    Raises ConfigError with every problem, a line each: file, line, key, reason, mend.
    """
    config = experiment.config
    layers = {model: _layers(experiment, model) for model in config.models}
    problems = _results_problems(Path(config.results))
    for model in config.models:
        problems += _model_problems(experiment, model)
    problems += _reach_problems(experiment, min((depth for depth in layers.values() if depth), default=0))
    sizes, wrong = _lists(experiment)
    problems += wrong
    problems += _task_problems(config)
    for language, (text, path) in experiment.texts(list(config.text)).items():
        if not is_address(text.file):
            try:
                read_sentences(path, text)
            except ConfigError as error:
                problems.append(Problem(("text", language), str(error).removeprefix("text: ")))
    if problems:
        raise refusal(config.files, problems)
    return sizes


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


def _results_problems(folder: Path) -> list[Problem]:
    above = next((place for place in [folder, *folder.absolute().parents] if place.exists()), Path("/"))
    if not above.is_dir():
        return [Problem(("results",), f"{above} is a file; name a folder")]
    if not os.access(above, os.W_OK | os.X_OK):
        return [
            Problem(("results",), f"{above} cannot be written to; name another folder, or ask its owner ({above.owner()}) for the right")
        ]
    return []


def _model_problems(experiment: Experiment, model: str) -> list[Problem]:
    source, place = experiment.config.models[model].source, ("models", model, "source")
    if experiment.on_hub(model):
        return _beyond(experiment, model, _layers(experiment, model))
    folder = Path(source)
    if not folder.is_dir():
        return [Problem(place, f"{folder} is no folder; give a folder with config.json, or a hub id such as owner/name")]
    try:
        layers = check_folder(folder)["layers"]
    except ModelError as error:
        return [Problem(place, str(error))]
    modules = linear_modules(folder)
    there = ", ".join(sorted({module.rsplit(".", 1)[-1] for module in modules}))
    lacking = [
        Problem(
            written_at(experiment.config, name, "target_modules"),
            f"no block of models.{model} has a module {target!r}; it has {there}; name some of these",
        )
        for name, arm in experiment.arms.items()
        for target in (() if arm.training.is_full else arm.training.target_modules)
        if modules and target != ALL_LINEAR and not any(module.endswith("." + target) for module in modules)
    ]
    return _beyond(experiment, model, layers) + lacking


def _beyond(experiment: Experiment, model: str, layers: int | None) -> list[Problem]:
    """Hidden states that the config names and the model does not have."""
    config, problems = experiment.config, []
    asked = [(written_at(config, name, "loss_layer"), layer) for name, arm in experiment.arms.items() for layer in arm.loss_layers]
    asked += [(("evaluation", "hidden_states"), str(state)) for state in config.evaluation.hidden_states]
    for place, layer in asked:
        if layers is not None and layer.isdigit() and int(layer) > layers:
            problems.append(Problem(place, f"asks for hs[{layer}]; models.{model} has hs[0] to hs[{layers}]; take one of these, or output"))
    return problems


def _reach_problems(experiment: Experiment, depth: int) -> list[Problem]:
    """Adapters that the loss cannot reach. depth: L of the shallowest model, 0 where none is known."""
    config, problems = experiment.config, []
    for name, arm in experiment.arms.items():
        spec = arm.training
        if "0" in arm.loss_layers:
            text = "hs[0] are the embeddings; no block lies below, so nothing can learn: take 1 or more"
            problems.append(Problem(written_at(config, name, "loss_layer"), text))
        if spec.allow_unreached or spec.is_full:
            continue
        named = {"reachable": 0, "all": depth}
        asked = int(named.get(str(spec.adapted_blocks), spec.adapted_blocks))
        shown = "all blocks" if spec.adapted_blocks == "all" else f"{asked} blocks"
        problems += [
            Problem(
                written_at(config, name, "adapted_blocks"),
                f"adapters are asked for on {shown}, but a loss at hs[{layer}] reaches only the first {layer}; "
                "set adapted_blocks: reachable, or allow_unreached: true",
            )
            for layer in arm.loss_layers
            if layer.isdigit() and asked > int(layer)
        ]
    return problems


def _task_problems(config: Config) -> list[Problem]:
    """Tasks that the harness does not have, by its own files, without a network; and local items that cannot be read."""
    transfer = config.transfer
    try:
        check_data(transfer.tasks, transfer.source, transfer.question_from, transfer.num_fewshot)
    except TliError as error:
        told = re.match(r"transfer\.(\w+): ", str(error))
        return [Problem(("transfer", told[1] if told else "source"), str(error).removeprefix(told[0] if told else ""))]
    return []


def _lists(experiment: Experiment) -> tuple[dict[str, dict[str, int]], list[Problem]]:
    """The sizes of the splits of each list, of those that are known before their jobs; and what is wrong with the lists."""
    config = experiment.config
    order = sorted(config.pairs, key=lambda pair: not config.pairs[pair].train)  # what nobody trains on is split after all others
    lacking = {pair: _lacking(experiment, pair) for pair in order}
    readable = [pair for pair in order if not lacking[pair] and not any(map(is_address, experiment.lists(pair)))]
    across = experiment.lists_measured if experiment.measures_across and not experiment.has_folds else []
    across = across if readable == order else []
    question, told = Question(experiment, "sizes", readable, across=across), list[tuple[str, Problem]]()
    if (found := question.recalled()) is None:
        found, told = _read(experiment, readable, across)
        if not told:
            question.keep(found)
    sizes, problems = {}, []
    for pair in order:
        problems += lacking[pair] + [one for name, one in told if name == pair]
        if pair in found["splits"]:
            sizes[pair] = _sizes(experiment, found["splits"][pair])
            problems += _too_few(experiment, pair, sizes[pair]) if config.pairs[pair].train else []
    for pair, words in found["across"].items():
        sizes[pair]["across"] = words
    return sizes, problems + [one for name, one in told if not name]


def _lacking(experiment: Experiment, pair: str) -> list[Problem]:
    """What a list's files lack before they are read."""
    section, entries = experiment.config.pairs[pair], experiment.lists(pair)
    place = ("pairs", pair)
    files = [entry for entry in entries if not is_address(entry)]
    checksums = [section.sha256] if isinstance(section.sha256, str) else section.sha256 or []
    problems = []
    if len(files) < len(entries) and len(checksums) != len(entries):
        problems.append(Problem(place, "an address needs its checksum; add sha256, one for each file of the lexicon"))
    absent = [entry for entry in files if section.format != "cldr" and not Path(entry).exists()]
    return problems + [
        Problem((*place, "lexicon"), f"{entry} is not there; give the path from {Path.cwd().name}/ or an https address") for entry in absent
    ]


def _read(experiment: Experiment, pairs: Sequence[str], across: Sequence[str]) -> tuple[dict[str, Any], list[tuple[str, Problem]]]:
    """What follows from the files alone: `splits`, pair -> split -> pairs (of no LONG_LIST), and `across`, pair -> words that are left to
    ask where all lists are known. And what is wrong, with its pair, or "" for what is wrong with `evaluation.on`.
    """
    union, splits, words, told = lexicon.Union(), dict[str, dict[str, int]](), dict[str, int](), list[tuple[str, Problem]]()
    for pair in pairs:
        section, files, spec = experiment.config.pairs[pair], experiment.lists(pair), lexicon_spec(experiment.config, pair)
        try:
            raw = lexicon.read(files, pair, spec)
        except LexiconError as error:
            told.append((pair, Problem(("pairs", pair, "columns" if section.columns is not None else "lexicon"), str(error))))
            continue
        if len(raw) > LONG_LIST:
            continue
        try:
            made = union.add(pair, files, spec, raw).pairs["split"]
        except LexiconError as error:
            key = (("pairs", pair, "split") if section.split else ("split",)) + (("sizes",) if spec.split.sizes else ())
            told.append((pair, Problem(key, f"{pair}: {error}")))
            continue
        splits[pair] = {split: int((made == split).sum()) for split in ("train", "select", "heldout")}
    if across and len(splits) == len(pairs):
        columns = Columns({pair: Splits(union.prepared(pair).pairs) for pair in experiment.config.pairs}, experiment.trained_pairs)
        for pair in across:
            try:
                words[pair] = int(columns.of(pair, -1, 0).asked.sum())
            except LexiconError as error:
                told.append(("", Problem(("evaluation", "on"), str(error))))
    return {"splits": splits, "across": words}, told


def _sizes(experiment: Experiment, counts: dict[str, int]) -> dict[str, int]:
    """Split -> pairs. With folds a run trains on all dealt words but those of its fold, and all of them are held out once."""
    dealt, folds = counts["train"] + counts["heldout"], experiment.config.split.folds
    return dict(counts) if folds < 2 else counts | {"train": dealt - ceil(dealt / folds), "heldout": dealt}


def _too_few(experiment: Experiment, pair: str, sizes: dict[str, int]) -> list[Problem]:
    """What the splits are too small for."""
    trained, problems = sizes["train"], []
    tuned = [name for name, arm in experiment.arms.items() if arm.tune]
    if tuned and not sizes["select"]:
        text = f"{pair} has no select pairs to choose by; give split.shares.select a share"
        problems.append(Problem(written_at(experiment.config, tuned[0], "tune"), text))
    if trained < 2:
        text = f"the train split of {pair} has {trained} pairs; at least 2 are needed; give it a larger share"
        problems.append(Problem(("pairs", pair, "split") if experiment.config.pairs[pair].split else ("split",), text))
    for name, arm in experiment.arms.items():
        select = arm.training.select
        if select is not None and select.budget > trained:
            text = f"a budget of {select.budget} pairs; the train split of {pair} has {trained}; take a smaller budget"
            problems.append(Problem(written_at(experiment.config, name, "select"), text))
    return problems
