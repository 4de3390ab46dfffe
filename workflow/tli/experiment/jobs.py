"""What each job of the workflow is given: settings, the runs it serves, what can be known of the inputs. No torch."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

from tli.config import Config
from tli.config.arms import expand_arms
from tli.errors import ConfigError, ModelError
from tli.experiment import grid
from tli.io import store, tables
from tli.model.files import check_folder, linear_modules
from tli.specs import LexiconSpec, SplitSpec

LONG_LIST = 300_000  # bytes; cleaning and splitting more takes seconds, before every start of Snakemake


def model_settings(config: Config, model: str) -> dict:
    """The model's section as plain values; what changes no result is left out, so that it reruns nothing."""
    settings = config.models[model].model_dump()
    settings.pop("parameters")
    return settings


def on_hub(config: Config, model: str) -> bool:
    """True for a hub id, False for a folder on disk."""
    source = config.models[model].source
    return (
        not Path(source).is_dir()
        and not source.startswith((".", "/", "~"))
        and source.count("/") == 1
        and not source.startswith("resources/")
    )


def model_files(config: Config, model: str) -> list[str]:
    """Files of a model on disk: when one of them changes, the model is checked again, and all that rests on it."""
    folder = Path(config.models[model].source)
    return sorted(str(path) for kind in ("*.json", "*.safetensors", "*.model") for path in folder.glob(kind))


def addresses(config: Config, pair: str) -> list[str]:
    """The lexicon's entries, a list also where there is one."""
    lexicon = config.pairs[pair].lexicon
    return [lexicon] if isinstance(lexicon, str) else list(lexicon)


def is_address(entry: str) -> bool:
    return entry.startswith(("https://", "http://"))


def lexicon_spec(config: Config, pair: str) -> LexiconSpec:
    """How a list is read, cleaned and split."""
    settings = lexicon_settings(config, pair)
    return LexiconSpec(**settings | {"split": SplitSpec(**settings["split"])})


def lexicon_settings(config: Config, pair: str) -> dict:
    """What the lexicon stage is given besides files."""
    section = config.pairs[pair]
    split = section.split or config.split
    return {
        "format": section.format,
        "columns": section.columns,
        "options": section.options,
        "merge": section.merge,
        "splits": section.splits,
        "split": split.model_dump(),
    } | ({} if section.clean == "normalised" else {"clean": section.clean})  # a list without the key keeps its params


def layers_asked(config: Config) -> list[str]:
    """Every loss layer of the grid as text, in the config's order."""
    return list(dict.fromkeys(str(layer) for arm in expand_arms(config).values() for layer in arm["loss_layer"]))


def numbers_asked(config: Config) -> list[int]:
    """Hidden states that the config names by number."""
    numbers = [int(layer) for layer in layers_asked(config) if layer.isdigit()]
    return sorted({*numbers, *(state for state in config.evaluation.hidden_states if isinstance(state, int))})


def target_modules(config: Config) -> list[str]:
    return sorted({name for arm in expand_arms(config).values() if arm["method"] == "lora" for name in arm["target_modules"]})


def seed_chunks(config: Config) -> list[list[int]]:
    """The seeds of a cell as they are cut into jobs."""
    seeds, size = config.seed_list, config.jobs.seeds_per_job
    return [seeds] if size == "all" else [seeds[i : i + size] for i in range(0, len(seeds), size)]


def parts(config: Config, runs: pd.DataFrame, model: str, pair: str, stage: str = "evaluate") -> dict[str, dict]:
    """How evaluation or transfer of one model and pair is cut: part name -> {"runs": rows of the grid, "baselines": names}.

    Adapters share parts of `jobs.adapters_per_job` (`jobs.adapters_per_transfer_job`). A fully trained run has a part of its own, so that its weights can go
    as soon as it is measured and are not wanted again when another run is added.
    """
    own = runs[(runs["model"] == model) & (runs["pair"] == pair)]
    adapters = own[own["method"] == "lora"].to_dict("records")
    size = config.jobs.adapters_per_transfer_job if stage == "transfer" else config.jobs.adapters_per_job
    found: dict[str, dict] = {}
    for number, first in enumerate(range(0, max(len(adapters), 1), size), 1):
        found[f"part-{number}"] = {"runs": adapters[first : first + size], "baselines": [grid.BASELINE] if number == 1 else []}
    for name in sorted(set(own["baseline"]) - {grid.BASELINE}):
        found[name] = {"runs": [], "baselines": [name]}
    for run in own[own["method"] == "full"].to_dict("records"):
        found[run["run"].replace("/", ".")] = {"runs": [run], "baselines": []}
    return found


def mapped_runs(runs: pd.DataFrame, model: str, pair: str) -> list[str]:
    """Runs whose words are drawn as maps: the first seed of every cell that is no control."""
    own = runs[(runs["model"] == model) & (runs["pair"] == pair) & ~runs["control"]]
    return own.drop_duplicates(tables.CELL)["run"].tolist()


def evaluation_settings(config: Config) -> dict:
    return {
        "hidden_states": config.evaluation.hidden_states,
        "poolings": config.pooling.evaluate,
        "merge": config.evaluation.merge,
        "projected_pairs": config.evaluation.projected_pairs,
        "csls_k": config.scan.csls_k,
    }


def trained_with(config: Config, part: dict) -> str:
    """A digest of how the runs of a part are trained. It stands in the params of what measures them: where a changed training
    fails, its old measurements must not pass for new ones."""
    arms = expand_arms(config)
    used = sorted({(run["arm"], run["layer"], run["rank"]) for run in part["runs"]})
    return store.digest({"pooling": config.pooling.train, "arms": {name: arms[name] for name, _, _ in used}, "cells": used})


def everything_asked(config: Config) -> str:
    """A digest of all that the results depend on, for the stage that reads them all."""
    return store.digest(config.model_dump(mode="json", exclude={"title", "question", "results", "jobs"}))


def scan_settings(config: Config) -> dict:
    return {
        "poolings": config.pooling.scan,
        "best_by": config.scan.best_by,
        "best_at_most": config.scan.best_at_most,
        "csls_k": config.scan.csls_k,
        "bootstrap": config.scan.bootstrap,
    }


def transfer_settings(config: Config) -> dict:
    return config.transfer.model_dump()


def inspect(config: Config) -> None:
    """Find before the first job what can be known from the files at hand. Raises ConfigError with all that was found."""
    problems = _results_problems(Path(config.results))
    for name in config.models:
        if on_hub(config, name):
            problems += _beyond(config, name, known_layers(config, name))
            continue
        folder = Path(config.models[name].source)
        if not folder.is_dir():
            problems.append(f"models.{name}.source: {folder} is no folder; give a folder with config.json, or a hub id such as owner/name")
            continue
        try:
            layers = check_folder(folder)["layers"]
        except ModelError as error:
            problems.append(f"models.{name}: {error}")
            continue
        problems += _beyond(config, name, layers)
        there = linear_modules(folder)
        problems += [
            f"arms.{arm}.target_modules: no block of models.{name} has a module {target!r}; it has "
            + ", ".join(sorted({module.rsplit(".", 1)[-1] for module in there}))
            for arm, chosen in expand_arms(config).items()
            for target in (chosen["target_modules"] if chosen["method"] == "lora" else ())
            if there and not any(module.endswith("." + target) for module in there)
        ]
    depth = _shallowest(config)
    for name, arm in expand_arms(config).items():
        asked = {"reachable": 0, "all": depth}.get(arm["adapted_blocks"], arm["adapted_blocks"])
        shown = "all blocks" if arm["adapted_blocks"] == "all" else f"{asked} blocks"
        if arm["allow_unreached"] or arm["method"] != "lora":
            continue
        problems += [
            f"arms.{name}: adapters are asked for on {shown}, but a loss at hs[{layer}] reaches only the first {layer}; "
            "set adapted_blocks: reachable, or allow_unreached: true"
            for layer in arm["loss_layer"]
            if isinstance(layer, int) and asked > layer
        ]
    if "0" in layers_asked(config):
        problems.append("loss_layer 0: hs[0] are the embeddings; no block lies below, so nothing can learn: take 1 or more")
    for pair in config.pairs:
        files = [entry for entry in addresses(config, pair) if not is_address(entry)]
        section = config.pairs[pair]
        checksums = [section.sha256] if isinstance(section.sha256, str) else section.sha256 or []
        if len(files) < len(addresses(config, pair)) and len(checksums) != len(addresses(config, pair)):
            problems.append(f"pairs.{pair}: an address needs its checksum; add sha256, one for each file of the lexicon")
        absent = [entry for entry in files if section.format not in ("cldr",) and not Path(entry).exists()]
        problems += [
            f"pairs.{pair}.lexicon: {entry} is not there; give the path from {Path.cwd().name}/ or an https address" for entry in absent
        ]
        if absent or len(files) < len(addresses(config, pair)):
            continue
        try:
            problems += _list_problems(config, pair, files)
        except ValueError as error:
            problems.append(f"pairs.{pair}: {error}")
    if config.transfer.tasks and config.transfer.source != "hub":
        from tli.probes.task_items import check_data

        try:
            check_data(config.transfer.tasks, config.transfer.source, config.transfer.question_from, config.transfer.num_fewshot)
        except ValueError as error:
            problems.append(f"transfer: {error}")
    if problems:
        raise ConfigError("\n".join(problems))


def _list_problems(config: Config, pair: str, files: list[str]) -> list[str]:
    """What the list lacks for what is asked of it. A long list is only read here; its job cleans and splits it. Raises LexiconError."""
    from tli import lexicon

    spec = lexicon_spec(config, pair)
    parts = [part for file in files for part in [Path(file), *Path(file).glob("*")]]
    if sum(part.stat().st_size for part in parts if part.is_file()) > LONG_LIST:
        lexicon.read(files, pair, spec)
        return []
    pairs, _, _ = lexicon.prepare(files, pair, spec)
    trained = int((pairs["split"] == "train").sum())
    problems = [f"pairs.{pair}: the train split has {trained} pairs; at least 2 are needed"] if trained < 2 else []
    for name, arm in expand_arms(config).items():
        if arm["select"] and arm["select"]["budget"] > trained:
            problems.append(f"arms.{name}.select: a budget of {arm['select']['budget']} pairs; the train split of {pair} has {trained}")
    return problems


def known_layers(config: Config, model: str) -> int | None:
    """L as an earlier check of the model found it, None before the first."""
    path = Path(config.results) / "check" / f"{model}.json"
    return json.loads(path.read_text(encoding="utf-8"))["layers"] if path.exists() else None


def _results_problems(folder: Path) -> list[str]:
    above = next((place for place in [folder, *folder.absolute().parents] if place.exists()), Path("/"))
    if not above.is_dir():
        return [f"results: {above} is a file; name a folder"]
    if not os.access(above, os.W_OK):
        return [f"results: {above} cannot be written to; name another folder"]
    return []


def _shallowest(config: Config) -> int:
    """L of the shallowest model that is known so far, 0 where none is."""
    known = []
    for name in config.models:
        try:
            known.append(known_layers(config, name) or check_folder(Path(config.models[name].source))["layers"])
        except ModelError:
            continue
    return min(known, default=0)


def _beyond(config: Config, model: str, layers: int | None) -> list[str]:
    source = config.models[model].source
    return [
        f"models.{model}: {source} has hs[0] to hs[{layers}]; the config asks for hs[{k}]"
        for k in numbers_asked(config)
        if layers is not None and k > layers
    ]


def unpinned(config: Config) -> list[str]:
    """Hub models without a commit: they are not run, since nobody could repeat it."""
    return [name for name in config.models if on_hub(config, name) and not config.models[name].revision]


def checksum(config: Config, pair: str, number: int) -> str:
    """The checksum that the config names for one of a lexicon's files."""
    listed = config.pairs[pair].sha256
    return listed if isinstance(listed, str) else (listed or [""] * (number + 1))[number]


def with_store(model_settings: dict, results: str) -> dict:
    """A model's settings with the place where its NF4 weights are kept (tli.model.quantized). No param of a rule: it changes no result."""
    return model_settings | {"store": f"{results}/store"}
