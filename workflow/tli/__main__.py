"""Every stage by itself, and what a user wants to know before and after a run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tli import __version__
from tli.config import load
from tli.errors import ConfigError, TliError
from tli.experiment import Experiment
from tli.experiment.inspect import inspect
from tli.experiment.job import JOBS, Job, kinds
from tli.experiment.remembered import remembered
from tli.publishing.commands import add_publishing
from tli.repeating.commands import add_repeating


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 good, 1 the work failed, 2 the command or the config is wrong."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print(
            f"\n{parser.prog} {chosen.command}: stopped by Ctrl-C; what is finished is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except (ValueError, OSError) as error:
        from tli.runtime.wrapping import in_words

        print(f"{parser.prog} {chosen.command}: {in_words(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tli", description=__doc__)
    parser.add_argument("--version", action="version", version=f"tli {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable, text: str, *, config: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if config:
            command.add_argument("config", nargs="+", help="config file; several are laid over each other")
        return command

    stages = commands.add_parser("run", help="Do one job of a stage, from the files of the stages before.", description=_run.__doc__)
    jobs = stages.add_subparsers(dest="job", required=True, metavar="STAGE")
    for kind in kinds():
        job = JOBS[kind]
        command = jobs.add_parser(kind, help=f"one job of the stage {job.stage}")
        command.set_defaults(run=_run)
        command.add_argument("config", nargs="+", help="config file; several are laid over each other")
        for name in job.names_of():
            if name not in ("chunk", "method"):
                command.add_argument(
                    f"--{name}", required=name != "part", help="all of them where it is not named" if name == "part" else None
                )
        command.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    look = add("look", _look, "Look at a model and a word list before anything is trained: are the words aligned?", config=False)
    look.add_argument("model", help="a folder with the model, or a hub id")
    look.add_argument("list", nargs="+", help="the file with the translation pairs, or several of one format")
    look.add_argument("--pair", default="", help="<source>-<target>, as swh-eng; by default from the file's name")
    look.add_argument("--revision", default="", help="the commit of a hub model; by default its newest")
    look.add_argument("--results", default="", help="folder of the results; by default one of its own in results/look")
    look.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    add("grid", _grid, "Print the table of runs that a config stands for.")
    add(
        "fetch",
        _fetch,
        "Print the commit of each hub model of a config, to be written there as its revision, and get the items of its tasks.",
    )
    plan = add(
        "plan", _plan, "Print what a config will cost (jobs, hours, memory, cards and disk of each stage) and what change it will find."
    )
    plan.add_argument("--profile", default="profiles/slurm/config.yaml", help="the profile's config.yaml: its gpu_memory_gb is the card's")
    add("register", _register, "Record what a config asks, before there is a result; the report says whether the run kept to it.")
    preflight = add("preflight", _preflight, "Look at the SLURM cluster: what will not work there, and how to fix it.")
    preflight.add_argument("--profile", default="profiles/slurm/config.yaml", help="the profile's config.yaml")
    reference = add("reference", _reference, "Print the config's reference (config/README.md) or its JSON schema.", config=False)
    reference.add_argument("--schema", action="store_true", help="the JSON schema instead")
    lexicon = add("lexicon", _audit, "Look at a word list before anything runs: what is wrong with it.", config=False)
    lexicon.add_argument("action", choices=["audit"])
    lexicon.add_argument("file", nargs="+")
    lexicon.add_argument("--pair", default="", help="<source>-<target>, as swh-eng; by default from the file's name")
    lexicon.add_argument("--format", default="", help="one of the config's formats; by default from the file's name and first line")
    lexicon.add_argument("--units", default="", choices=["words", "sentences"], help="what a row is; by default as the format has it")
    lexicon.add_argument("--columns", default="", help="columns in the file's order (target,source) or as name=theirs,...")
    lexicon.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the format, as gloss=true; may be repeated"
    )
    report = add("report", _report, "Make the report of a results folder again, also of a grid half done.", config=False)
    report.add_argument("results", help="the results folder")
    report.add_argument("--partial", action="store_true", help="make do with what is finished and say what is missing")
    report.add_argument("--config", nargs="+", help="config file of the run; by default the one that the results remember")
    add_repeating(add)
    add_publishing(add)
    demo = add("demo", _demo, "Make the demo model again from resources/demo.", config=False)
    demo.add_argument("--output", default="resources/demo/model")
    demo.add_argument("--text", default="resources/demo/text", help="folder of the running text")
    return parser


def _run(chosen: argparse.Namespace) -> None:
    """Do one job as its rule does it: the same files, log apart; what is finished is taken from the store."""
    from tli.cluster import costs
    from tli.runtime import console
    from tli.runtime.wrapping import run

    experiment = Experiment(load(chosen.config))
    inspect(experiment)
    jobs = [Job.of(experiment, chosen.job, **names) for names in _names(experiment, chosen)]
    for job in jobs:
        if job.lacking():
            raise TliError(console.what_comes_first(job, chosen.config))
    for job in jobs:
        run(job, threads=chosen.threads, gpus=costs.request(job).gpu)
    console.conclude_stage(jobs)


def _names(experiment: Experiment, chosen: argparse.Namespace) -> list[dict]:
    """The names of the jobs that are meant: all chunks of seeds, and all parts where none is named."""
    names = {name: getattr(chosen, name) for name in JOBS[chosen.job].names_of() if name not in ("chunk", "method")}
    if chosen.job == "train":
        return [names | {"chunk": chunk} for chunk in range(1, len(experiment.seed_chunks) + 1)]
    if "part" in names and names["part"] is None:
        for kind, known in (("model", experiment.config.models), ("pair", experiment.trained_pairs)):
            if kind in names and names[kind] not in known:
                raise ConfigError(f"--{kind} {names[kind]}: the config has {', '.join(known)}")
        parts = (
            experiment.across_parts(names["model"])
            if chosen.job == "across"
            else experiment.parts(chosen.job, names["model"], names["pair"])
        )
        if not parts:
            raise ConfigError(
                f"{chosen.job}: there is nothing to measure" + ("; name lists in evaluation.on" if chosen.job == "across" else "")
            )
        return [names | {"part": part} for part in parts]
    return [names]


def _look(chosen: argparse.Namespace) -> None:
    """What is finished is not done again: after Ctrl-C the same command goes on."""
    from tli.runtime.looking import experiment_of, look

    revision = chosen.revision
    if not Path(chosen.model).is_dir() and not revision:
        from tli.stages.fetch import newest_commit

        revision = newest_commit(chosen.model)
    experiment = experiment_of(chosen.model, chosen.list, chosen.pair, chosen.results, revision)
    page = Path(look(experiment, chosen.threads))
    print((page.parent / "summary.md").read_text(encoding="utf-8"))
    print(f"the page: {page}")


def _grid(chosen: argparse.Namespace) -> None:
    print(Experiment(load(chosen.config)).grid.to_csv(sep="\t", index=False), end="")


def _plan(chosen: argparse.Namespace) -> None:
    from tli.cluster import cards, plan
    from tli.cluster.profile import read_profile
    from tli.experiment.design_warnings import foreseen
    from tli.experiment.foresight import foresight
    from tli.runtime.console import foreseen_lines

    experiment, profile = Experiment(load(chosen.config)), Path(chosen.profile)
    remarks = foreseen(experiment, inspect(experiment))
    named = cards.of_resources(read_profile(profile)["default-resources"]) if profile.exists() else None
    card = named or cards.of_this_machine()
    print(plan.text(experiment, plan.plan(experiment, card.gb if card else cards.ASSUMED_GB), card))
    for line in [*foresight(experiment), *foreseen_lines(remarks)]:
        print(line)


def _register(chosen: argparse.Namespace) -> None:
    from tli.experiment import registering
    from tli.io.provenance import read_records

    experiment = Experiment(load(chosen.config))
    print(f"registered: {registering.register(experiment)}")
    print(registering.held_against(experiment, read_records(experiment.layout.provenance())).sentence)


def _preflight(chosen: argparse.Namespace) -> int:
    from tli.cluster import preflight

    findings = preflight.preflight(Experiment(load(chosen.config)), Path(chosen.profile))
    for finding in findings:
        print(finding)
    return int(any(finding.level == "error" for finding in findings))


def _fetch(chosen: argparse.Namespace) -> None:
    from tli.probes.task_items import HUB
    from tli.stages.fetch import fetch_tasks, newest_commit

    experiment = Experiment(load(chosen.config))
    hub = [name for name in experiment.config.models if experiment.on_hub(name)]
    for name in hub:
        print(f"models.{name}.revision: {newest_commit(experiment.config.models[name].source)}")
    transfer = experiment.config.transfer
    if transfer.tasks and transfer.source == HUB:
        fetch_tasks(list(transfer.tasks), experiment.layout.fetched_tasks())
    elif not hub:
        print("every model of this config is a folder on disk, and no task is from the hub; there is nothing to fetch")


def _reference(chosen: argparse.Namespace) -> None:
    from tli.config import reference

    print(reference.schema() if chosen.schema else reference.markdown(), end="")


def _audit(chosen: argparse.Namespace) -> int:
    from tli import lexicon
    from tli.specs import LexiconSpec

    pair = chosen.pair or Path(chosen.file[0]).name.split(".")[0]
    if pair.count("-") != 1:
        raise ValueError(f"the file's name does not tell the pair; add --pair, as --pair swh-eng (got {pair!r})")
    columns: list | dict | None = chosen.columns.split(",") if chosen.columns else None
    if columns and "=" in columns[0]:
        columns = dict(part.split("=", 1) for part in columns)
    options = {}
    for option in chosen.option:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise ValueError(f"--option {option}: write it as key=value, such as --option gloss=true")
        options[name] = {"true": True, "false": False}.get(value.lower(), int(value) if value.isdigit() else value)
    lines = lexicon.audit_file(
        chosen.file,
        LexiconSpec(
            format=chosen.format, columns=tuple(columns) if isinstance(columns, list) else columns, options=options, units=chosen.units
        ),
        pair,
    )
    for line in lines:
        print(line)
    return 1 if any(line.startswith("error") for line in lines) else 0


def _report(chosen: argparse.Namespace) -> None:
    from tli.stages.report import write_report

    if chosen.config and not Path(chosen.results).is_dir():
        raise TliError(f"{chosen.results} is no folder; give the results folder of a run")
    if chosen.config:
        experiment = Experiment(load(chosen.config).model_copy(update={"results": chosen.results}))
    else:
        experiment = remembered(chosen.results)
    for line in write_report(experiment, partial=chosen.partial):
        print(f"missing: {line}")


def _demo(chosen: argparse.Namespace) -> None:
    from tli import demo_model

    demo_model.write_text([Path("resources/demo/swh-eng.tsv"), Path("resources/demo/lin-eng.tsv")], chosen.text)
    demo_model.make([Path("resources/demo/swh-eng.tsv"), Path("resources/demo/lin-eng.tsv")], Path(chosen.output))


if __name__ == "__main__":
    sys.exit(main())
