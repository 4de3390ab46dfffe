"""A finished run as a folder to be shared: adapters and weights with their cards, results as other tools read them, tables, and how it is uploaded.

adapters/<name>/        a PEFT folder and its card: what is uploaded as a repository
weights/<name>/         of a full fine-tuning the tensors that were trained, and its card
results/lm-eval/<name>/results_<date>.json, results/mteb/<name>/<task>.json      also of the baselines
tables/<name>.tsv       the statistics of the run, without the words of the lists
README.md
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tli.errors import TliError
from tli.experiment.grid import GridRun
from tli.experiment.layout import ADAPTER
from tli.experiment.trained import TrainedRun
from tli.io import store, table_files
from tli.io.atomic import whole
from tli.io.place import assert_can_be_made
from tli.io.records import read_json, write_json
from tli.log import redact
from tli.publishing import harness_results, mteb_results
from tli.publishing.card import DEMO, Given, base_model, card, short
from tli.publishing.choosing import Chosen, choose, folder_name, place
from tli.publishing.finished import Finished
from tli.publishing.privacy import assert_private
from tli.publishing.weights import write_trained

OWNER = "YOUR-NAME"
# Of the statistics: those with a row a word hold the list, which is its owner's to share.
TABLES = ("verdicts", "lines", "harm", "ladder", "rivals", "added", "translation", "transfer_cells", "across", "templates", "power")


@dataclass(frozen=True)
class Published:
    """What was written."""

    places: tuple[str, ...]  # of adapters and weights, below the folder
    left: tuple[str, ...]  # what is not in it, in words
    commands: tuple[str, ...]  # that would upload it


def publish(
    results: str | Path, output: str | Path, names: Sequence[str] = (), given: Given | None = None, overwrite: bool = False
) -> Published:
    """Write the folder `output`, whole or not at all; nothing is uploaded.

    names: of runs, else the first seed of every cell that is no control. Raises TliError for a name that is none of a run, of a model or
    of a pair, where there is nothing to share, and where `output` is there unless `overwrite`.
    """
    folder, given = Path(output), given or Given()
    if folder.exists() and not overwrite:
        raise TliError(f"{output} is there already; name a folder that is not, or add --overwrite")
    if folder.exists() and not (folder / "README.md").is_file():
        raise TliError(f"{output} is no folder that this command wrote; name another one")
    if folder.resolve() in [Path(results).resolve(), *Path(results).resolve().parents]:
        raise TliError(f"{output} holds the results; name another folder")
    assert_can_be_made(folder)
    done = Finished.of(results)
    _assert_known(done, given)
    chosen = choose(done, names)
    if not chosen.runs:
        raise TliError(f"{results} holds no run that can be shared; " + "; ".join(f"{one.run}: {one.reason}" for one in chosen.left[:3]))
    with whole(folder) as beside:
        beside.mkdir(parents=True)
        for trained in chosen.runs:
            _write_run(done, trained, given, beside / place(trained.run))
        is_scored = _write_results(done, chosen, beside / "results")
        _write_tables(done, beside / "tables")
        made = Published(
            tuple(place(trained.run) for trained in chosen.runs),
            (*(f"{one.run}: {one.reason}" for one in chosen.left), *(f"not finished: {text}" for text in done.report.missing)),
            tuple(f"hf upload {OWNER}/{folder_name(one.run)} {folder}/{place(one.run)}" for one in chosen.runs),
        )
        (beside / "README.md").write_text(redact(_readme(done, chosen, made, given, is_scored)), encoding="utf-8")
        assert_private(beside, done.experiment)
    return made


def _assert_known(done: Finished, given: Given) -> None:
    config = done.experiment.config
    for kind, names, known in (("--base-model", given.base_models, config.models), ("--dataset", given.datasets, config.pairs)):
        for name in names:
            if name not in known:
                raise TliError(f"{kind} {name}=...: the run has {', '.join(known)}")


def list_digest(done: Finished, pair: str) -> str:
    """SHA-256 of a list as it was prepared and split."""
    return store.digest_table(table_files.read(done.experiment.layout.lexicon(pair)["pairs"]))


def _write_run(done: Finished, trained: TrainedRun, given: Given, folder: Path) -> None:
    folder.mkdir(parents=True)
    if trained.run.is_full:
        write_trained(Path(trained.folder) / "weights", folder)
    else:
        _write_adapter(done, trained, given, folder)
    (folder / "README.md").write_text(card(done, trained, given, list_digest(done, trained.run.pair)), encoding="utf-8")


def _write_adapter(done: Finished, trained: TrainedRun, given: Given, folder: Path) -> None:
    source = Path(trained.folder) / "adapter"
    shutil.copyfile(source / ADAPTER[1], folder / ADAPTER[1])
    config = read_json(source / ADAPTER[0], "an adapter's config; train the run again")
    base, commit = base_model(done, trained.run.model, given)
    config |= {"base_model_name_or_path": base or None, "revision": commit}
    (folder / ADAPTER[0]).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def _subjects(done: Finished, chosen: Chosen) -> Iterator[tuple[str, GridRun, str]]:
    """(name, run, the run under whose name its figures stand), of every run and once of each baseline."""
    baselines = set()
    for trained in chosen.runs:
        run = trained.run
        name = f"{run.model}.{run.pair}.{run.baseline}" + (f".seed-{run.seed}.fold-{run.fold}" if run.fold else "")
        if name not in baselines:
            baselines.add(name)
            yield name, run, run.baseline
        yield folder_name(run), run, done.kept(run)


def _write_results(done: Finished, chosen: Chosen, folder: Path) -> bool:
    """Returns whether any task was scored."""
    date, is_scored = done.date.replace(":", "-").removesuffix("Z") or "undated", False
    for name, run, of in _subjects(done, chosen):
        if scored := harness_results.results(done, run, of, name):
            write_json(scored, folder / "lm-eval" / name / f"results_{date}.json")
            is_scored = True
        if found := mteb_results.result(done, run, of, list_digest(done, run.pair)):
            write_json(found, folder / "mteb" / name / f"{found['task_name']}.json")
    return is_scored


def _write_tables(done: Finished, folder: Path) -> None:
    folder.mkdir()
    statistics = Path(done.experiment.layout.statistics()["verdicts"]).parent
    for name in TABLES:
        path = statistics / f"{name}.tsv"
        if path.exists():
            shutil.copyfile(path, folder / path.name)


def _readme(done: Finished, chosen: Chosen, made: Published, given: Given, is_scored: bool) -> str:
    config = done.experiment.config
    lines = [f"# {config.title}", ""]
    lines += [DEMO, ""] if done.report.experiment.is_demo else []
    lines += ["| trained | base model | verdict of its cell |", "|---|---|---|"]
    for trained in chosen.runs:
        run = trained.run
        base = base_model(done, run.model, given)[0] or f"{run.model}, a model in a folder"
        lines.append(f"| [{folder_name(run)}]({place(run)}/README.md) | {base} | {short(done, trained)} |")
    lines += ["", "Each README.md is a card: what can be claimed, harm, how to load what lies beside it, what that must not be used for."]
    if made.left:
        lines += ["", "## What is not here", "", *(f"- {text}" for text in made.left)]
    lines += ["", "## Results as other tools read them", ""]
    lines.append(
        "`results/lm-eval/`: the tasks of the lm-evaluation-harness, before (the baseline) and after, in the form of its own result "
        "files; standard errors are over items. Task configs are shortened, and the models' tokenizers and the prompts' hashes are left out."
        if is_scored
        else "No task of the lm-evaluation-harness was scored."
    )
    lines += ["", f"`results/mteb/`: retrieval of words, in the form of MTEB's bitext mining. {mteb_results.FITS}"]
    lines += ["", "`tables/`: the statistics of the run. Tables with a row a word are left out: they hold the word lists."]
    lines += ["", "## To upload it", "", "Nothing was uploaded. Each of them is a repository of its own:", "", "```sh"]
    lines += [f"hf upload {OWNER}/{Path(one).name} {one}" for one in made.places]
    lines += [
        "```",
        "",
        "The licences of the base model and of the word lists bind what was trained on them too; a card names one only where `--license` did.",
    ]
    return "\n".join(lines) + "\n"
