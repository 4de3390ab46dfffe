"""A finished run as a folder from which somebody else repeats it: config, digests of all that was read, versions, the figures found.

The folder holds nothing of the machine that it comes from: a list, a text or a model that the workflow does not ship is named by where
it is to be put below the folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tli.config.reading import OWN_FOLDER
from tli.errors import TliError
from tli.experiment import Experiment, is_address
from tli.experiment.remembered import remembered
from tli.io import store, table_files, tables
from tli.io.atomic import whole
from tli.io.place import assert_free
from tli.io.provenance import DIRTY, commits, read_records
from tli.io.records import read_check, write_json
from tli.probes.task_items import HUB
from tli.repeating.figures import PUBLISHED, figures_of
from tli.repeating.inputs import ASKED, Pinned, Pins, prepared
from tli.repeating.owner import Owner
from tli.repeating.settings import PINNED, about

CONFIG, CONSTRAINTS = "config.yaml", "constraints.txt"
REPETITION = "repetition"  # the results folder of whoever repeats the run
README = """# To repeat this run

{title}

{missing}In the environment of this workflow, in a clone of {commit}:

```sh
tli repeat {name}
```

This looks at the digest of every list, text and model first and stops where one differs; then it runs `{config}` into `{repetition}/` and
holds the figures against those of `figures.parquet`: `comparison.tsv` says which agree, and within what. With the same versions, on the
same kind of machine, all should agree to the last bit; with packages resolved anew (`pip install -c {constraints} ...` keeps them) to
1e-6; on another kind of processor or card within the intervals.

A list's or a text's digest is the SHA-256 of its bytes. A model's is that of its config, tokenizer and weights; of weight files above
64 MiB it takes the header, the size and sixteen samples.
"""


def pin(results: str | Path, output: str | Path, with_lists: bool = False) -> Pins:
    """Write the folder `output` for the run in `results`, whole or not at all; returns what it pins.

    with_lists: the word lists and running texts are copied into it, as far as their licence allows that. Raises TliError where the
    run is not finished, a list or model is gone or is not what the run read, or `output` is there.
    """
    experiment, folder = remembered(results), Path(output)
    assert_free(folder)
    _assert_finished(experiment)
    config = experiment.config.model_dump(mode="json", exclude_unset=True) | {"results": REPETITION}
    records = read_records(experiment.layout.provenance())
    figures = figures_of(results)
    with whole(folder) as beside:
        beside.mkdir(parents=True)
        pins = Pins(beside if with_lists else None)
        words = _pin_lists(experiment, config, pins)
        _pin_texts(experiment, config, pins)
        _pin_models(experiment, config, pins)
        _pin_tasks(experiment, config, pins)
        _pin_what_else(config, pins)
        found = {
            "pins": [vars(one) for one in pins],
            "about": {name: value for name, value in about(results).items() if not name.startswith("config ")},
            "words": words,
        }
        write_json(found, beside / PINNED)
        owner = Owner(results, pins)  # a title may name a path too
        asked = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=1000)
        (beside / CONFIG).write_text(owner.clean(asked), encoding="utf-8")
        (beside / CONSTRAINTS).write_text("".join(f"{line}\n" for line in constraints(records)), encoding="utf-8")
        figures.to_parquet(beside / PUBLISHED, index=False)
        told = _readme(owner.clean(experiment.config.title), list(pins), records, folder.name)
        (beside / "README.md").write_text(told, encoding="utf-8")
    return pins


def versions(records: list[dict[str, Any]]) -> dict[str, str]:
    """The versions that the jobs ran with, those of the newest job where they differ; a local build's mark is left out."""
    found: dict[str, str] = {}
    for record in sorted(records, key=lambda one: str(one.get("finished", "")), reverse=True):
        for name, version in record.get("versions", {}).items():
            found.setdefault(name, str(version).partition("+")[0])
    return dict(sorted(found.items()))


def constraints(records: list[dict[str, Any]]) -> list[str]:
    """`versions` as pip's constraints, and what environment.yml says of packages that no job wrote down."""
    ran = versions(records)
    listed = OWN_FOLDER / "environment.yml"
    text = listed.read_text(encoding="utf-8") if listed.is_file() else ""
    others = {name: version for name, version in re.findall(r"^ *- ([\w.-]+)==(\S+)", text, re.MULTILINE) if name not in ran}
    return [f"{name}=={version}" for name, version in sorted((others | ran).items())]


def _assert_finished(experiment: Experiment) -> None:
    """Every run of the config must be in the tables, or the repetition would be held against half of it."""
    layout = experiment.layout
    if experiment.trains_nothing:
        lacking = [path for both in experiment.model_pairs if not Path(path := layout.scan(*both)["scan"]).exists()]
    else:
        path = layout.statistics()["runs"]
        there = table_files.read(path)[tables.RUN[:2] + ["run"]] if Path(path).exists() else None
        runs = set() if there is None else set(there.itertuples(index=False, name=None))
        lacking = ["/".join((run.model, run.pair, run.run)) for run in experiment.runs if (run.model, run.pair, run.run) not in runs]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise TliError(
            f"{layout.results}: the run is not finished ({lacking[0]}{more} is not in its tables); let Snakemake finish it with the same "
            "config first"
        )


def _readme(title: str, pins: list[Pinned], records: list[dict[str, Any]], name: str) -> str:
    brought = [f"- {one.what}: put it at `{one.place}` in this folder (digest `{one.digest}`)\n" for one in pins if one.is_to_be_brought]
    missing = "Not in this folder, and to be brought first:\n\n" + "".join(brought) + "\n" if brought else ""
    commit, dirty, _ = next(reversed(commits(records)), "").partition(DIRTY)
    clone = f"commit `{commit}`" if commit else "the version that made it (its commit was not written down)"
    clone += " (some files of it were changed when this ran, so what is said below of the last bit may not hold)" if dirty else ""
    return README.format(
        title=title, missing=missing, commit=clone, name=name, config=CONFIG, repetition=REPETITION, constraints=CONSTRAINTS
    )


def _pin_lists(experiment: Experiment, config: dict[str, Any], pins: Pins) -> dict[str, str]:
    """Returns the digest of each list's prepared pairs."""
    words = {}
    for pair, section in experiment.config.pairs.items():
        places = []
        for entry in experiment.lists(pair):
            is_file = section.format != "cldr" and not is_address(entry)  # an address's checksum stands in the config
            places.append(pins.add(f"the list of {pair}", entry, f"lists/{pair}", may_be_copied=True) if is_file else entry)
        config["pairs"][pair]["lexicon"] = places if isinstance(section.lexicon, list) else places[0]
        words[pair] = _assert_unchanged(experiment, pair)
    return words


def _assert_unchanged(experiment: Experiment, pair: str) -> str:
    """The list on the disk must still be the one that the run split. Returns the digest of its prepared pairs."""
    path = Path(experiment.layout.lexicon(pair)["pairs"])
    if not path.exists():
        raise TliError(f"{path}: is not there; only a run whose lists are prepared can be repeated")
    now = prepared(experiment, pair)
    if not now.equals(table_files.read(path, tables.PAIRS)[ASKED].astype(str)):
        files = ", ".join(experiment.lists(pair))
        raise TliError(
            f"{files}: is not the list that the run read, or this version of the workflow prepares it otherwise ({path} differs from what "
            "it gives now); restore it, or let Snakemake run again with the same config"
        )
    return store.digest_table(now)


def _pin_texts(experiment: Experiment, config: dict[str, Any], pins: Pins) -> None:
    for language, section in experiment.config.text.items():
        if not is_address(section.file):
            place = pins.add(f"running text in {language}", section.file, f"texts/{language}", may_be_copied=True)
            config["text"][language]["file"] = place


def _pin_models(experiment: Experiment, config: dict[str, Any], pins: Pins) -> None:
    for name, section in experiment.config.models.items():
        if experiment.on_hub(name):  # its commit stands in the config
            continue
        config["models"][name]["source"] = pins.add(f"the model {name}", section.source, "models")
        checked = Path(experiment.layout.check(name))
        now = next(one.digest for one in pins if one.place == config["models"][name]["source"])
        if checked.exists() and now != (then := read_check(checked).identity):
            raise TliError(
                f"{section.source}: is not the model that the run read: its digest is {now}, it was {then}; restore it, or run again"
            )


def _pin_tasks(experiment: Experiment, config: dict[str, Any], pins: Pins) -> None:
    section = experiment.config.transfer
    if section.tasks and section.source != HUB:
        config["transfer"]["source"] = pins.add("the items of the tasks", section.source, "tasks")


def _pin_what_else(config: dict[str, Any], pins: Pins) -> None:
    """Any other value of the config that names a file: none may go out as a path of this machine. Raises TableError."""
    places = {one.place for one in pins}

    def seen(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: seen(one, f"{key}.{name}".removeprefix(".")) for name, one in value.items()}
        if isinstance(value, list):
            return [seen(one, key) for one in value]
        if not isinstance(value, str) or value in places or is_address(value) or key in ("title", "question", "results"):
            return value
        if value.startswith(("/", "~/", "./", "../")) or ("/" in value and Path(value).exists()):
            return pins.add(f"what {key} names", value, f"inputs/{key}")
        return value

    config.update(seen(config, ""))
