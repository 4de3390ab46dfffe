"""`python -m tli <command>`: every stage by itself, and what a user wants to know before and after a run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tli import config as tli_config
from tli.errors import ConfigError
from tli.experiment import grid, jobs


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 good, 1 the work failed, 2 the command or the config is wrong."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except BrokenPipeError:
        return 0
    except (ValueError, OSError) as error:
        from tli.runtime.wrapping import in_words

        print(f"{parser.prog} {chosen.command}: {in_words(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tli", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, text: str, *, config: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if config:
            command.add_argument("config", nargs="+", help="config file; several are laid over each other")
        return command

    add("grid", _grid, "Print the table of runs that a config stands for.")
    add("fetch", _fetch, "Print the commit of each hub model of a config, to be written there as its revision.")
    add("plan", _plan, "Print what a config will cost: jobs, GPU hours, memory and disk of each stage.")
    preflight = add("preflight", _preflight, "Look at the SLURM cluster: what will not work there, and how to mend it.")
    preflight.add_argument("--profile", default="profiles/slurm/config.yaml", help="the profile's config.yaml")
    reference = add("reference", _reference, "Print the config's reference (config/README.md) or its JSON schema.", config=False)
    reference.add_argument("--schema", action="store_true", help="the JSON schema instead")
    lexicon = add("lexicon", _audit, "Look at a word list before anything runs: what is wrong with it.", config=False)
    lexicon.add_argument("action", choices=["audit"])
    lexicon.add_argument("file", nargs="+")
    lexicon.add_argument("--pair", default="", help="<source>-<target>, as swh-eng; by default from the file's name")
    lexicon.add_argument("--format", default="", help="one of the config's formats; by default from the file's name and first line")
    lexicon.add_argument("--columns", default="", help="columns in the file's order (target,source) or as name=theirs,...")
    lexicon.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the format, as gloss=true; may be repeated"
    )
    report = add("report", _report, "Make the report of a results folder again, also of a grid half done.", config=False)
    report.add_argument("results", help="the results folder")
    report.add_argument("--partial", action="store_true", help="make do with what is finished and say what is missing")
    report.add_argument("--config", nargs="+", help="config file of the run; by default the one that the results remember")
    demo = add("demo", _demo, "Make the demo model again from resources/demo.", config=False)
    demo.add_argument("--output", default="resources/demo/model")
    for stage, needs in STAGES.items():
        command = add(stage, _stage, f"Run the stage {stage} for one cell, from the files of the stages before.")
        for need in needs:
            command.add_argument(f"--{need}", required=True)
        command.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser


STAGES = {
    "prepare": ["pair"],
    "check": ["model"],
    "scan": ["model", "pair"],
    "train": ["model", "pair", "arm", "layer", "rank"],
    "evaluate": ["model", "pair"],
    "transfer": ["model", "pair"],
    "statistics": [],
}


def _grid(chosen) -> None:
    config = tli_config.load(chosen.config)
    print(grid.expand(config).to_csv(sep="\t", index=False), end="")


def _plan(chosen) -> None:
    from tli.cluster import plan

    config = tli_config.load(chosen.config)
    print(plan.text(config, plan.plan(config)))


def _preflight(chosen) -> int:
    from tli.cluster import preflight

    found = preflight.preflight(tli_config.load(chosen.config), Path(chosen.profile))
    for finding in found:
        print(finding)
    return int(any(finding.level == "error" for finding in found))


def _fetch(chosen) -> None:
    from tli.stages.fetch import newest_commit

    config = tli_config.load(chosen.config)
    hub = [name for name in config.models if jobs.on_hub(config, name)]
    for name in hub:
        print(f"models.{name}.revision: {newest_commit(config.models[name].source)}")
    if not hub:
        print("every model of this config is a folder on disk; there is nothing to fetch")


def _reference(chosen) -> None:
    from tli.config import reference

    print(reference.schema() if chosen.schema else reference.markdown(), end="")


def _audit(chosen) -> int:
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
    lines = lexicon.audit_file(chosen.file, LexiconSpec(format=chosen.format, columns=columns, options=options), pair)
    for line in lines:
        print(line)
    return 1 if any(line.startswith("error") for line in lines) else 0


def _report(chosen) -> None:
    from tli.stages.report import report

    remembered = Path(chosen.results) / "provenance" / "config.json"
    if not Path(chosen.results).is_dir():
        raise ValueError(f"{chosen.results} is no folder; give the results folder of a run")
    if not chosen.config and not remembered.exists():
        raise ValueError(f"{chosen.results} does not remember its config; name it: --config FILE")
    config = tli_config.load(chosen.config) if chosen.config else tli_config.parse(json.loads(remembered.read_text(encoding="utf-8")))
    missing = report(
        config=config.model_dump(mode="json", exclude_unset=True), results=chosen.results,
        output=f"{chosen.results}/report{'-partial' if chosen.partial else ''}", partial=chosen.partial,
    )  # fmt: skip
    for line in missing:
        print(f"missing: {line}")


def _demo(chosen) -> None:
    from tli import demo_model as demo

    demo.make([Path("resources/demo/swh-eng.tsv"), Path("resources/demo/lin-eng.tsv")], Path(chosen.output))


def _stage(chosen) -> None:
    from tli.runtime import wrapping as running
    from tli.stages import check, evaluate, lexicon, scan, statistics, train

    config, stage = tli_config.load(chosen.config), chosen.command
    jobs.inspect(config)
    results, runs = config.results, grid.expand(config)
    model, pair = getattr(chosen, "model", ""), getattr(chosen, "pair", "")
    for kind, name, known in (("model", model, config.models), ("pair", pair, config.pairs)):
        if name and name not in known:
            raise ConfigError(f"--{kind} {name}: the config has {', '.join(known)}")
    settings = jobs.with_store(jobs.model_settings(config, model), results) if model else {}
    pairs, checked = f"{results}/lexicon/{pair}/pairs.tsv", f"{results}/check/{model}.json"
    scanned = f"{results}/scan/{model}/{pair}"
    with running.job(stage, ".".join(filter(None, [model, pair, stage])), results=results, threads=chosen.threads) as facts:
        if stage == "prepare":
            folder = f"{results}/lexicon/{pair}"
            lexicon.prepare(
                pair=pair, files=jobs.addresses(config, pair), spec=jobs.lexicon_spec(config, pair),
                output=pairs, changes=f"{folder}/changes.tsv", audit=f"{folder}/audit.tsv",
            )  # fmt: skip
        elif stage == "check":
            check.check(
                model=model, model_settings=settings, layers_asked=jobs.numbers_asked(config),
                target_modules=jobs.target_modules(config), output=checked, facts=facts,
            )  # fmt: skip
        elif stage == "scan":
            scan.scan(
                model=model, pair=pair, model_settings=settings, pairs=pairs, **jobs.scan_settings(config),
                output=f"{scanned}/scan.tsv", choice=f"{scanned}/best.tsv", words=f"{scanned}/words.tsv", audit=f"{scanned}/audit.tsv", facts=facts,
            )  # fmt: skip
        elif stage == "train":
            cell = {"arm": chosen.arm, "layer": chosen.layer, "rank": chosen.rank}
            if not (runs[list(cell)] == pd_row(cell)).all(axis=1).any():
                raise ConfigError(f"no cell {cell} in the grid; `python -m tli grid` prints it")
            train.train(
                model=model, pair=pair, **cell, seeds=config.seed_list, model_settings=settings,
                settings=grid.training_settings(config, **cell), pairs=pairs, check=checked, choice=f"{scanned}/best.tsv",
                results=results, facts=facts, together=config.jobs.seeds_together,
                checkpoint_minutes=config.jobs.checkpoint_minutes,
                outputs={s: f"{results}/train/{model}/{pair}/{grid.run_name(**cell, seed=s)}" for s in config.seed_list},
            )  # fmt: skip
        elif stage == "evaluate":
            for part, content in jobs.parts(config, runs, model, pair).items():
                evaluate.evaluate(
                    model=model, pair=pair, baselines=content["baselines"], layers_asked=jobs.layers_asked(config),
                    runs=[run | {"folder": f"{results}/train/{model}/{pair}/{run['run']}"} for run in content["runs"]],
                    mapped=jobs.mapped_runs(runs, model, pair), model_settings=settings, **jobs.evaluation_settings(config),
                    pairs=pairs, check=checked, choice=f"{scanned}/best.tsv", results=results,
                    output=f"{results}/evaluate/{model}/{pair}/{part}", facts=facts,
                )  # fmt: skip
        elif stage == "transfer":
            from tli.stages import transfer

            for part, content in jobs.parts(config, runs, model, pair, "transfer").items():
                transfer.transfer(
                    model=model, pair=pair, baselines=content["baselines"], model_settings=settings,
                    runs=[run | {"folder": f"{results}/train/{model}/{pair}/{run['run']}"} for run in content["runs"]],
                    **jobs.transfer_settings(config), check=checked, results=results,
                    output=f"{results}/transfer/{model}/{pair}/{part}", facts=facts,
                )  # fmt: skip
        else:
            both = [(m, p) for m in config.models for p in config.pairs]
            statistics.analyse(
                parts=[f"{results}/evaluate/{m}/{p}/{part}" for m, p in both for part in jobs.parts(config, runs, m, p)],
                pairs={(m, p): f"{results}/lexicon/{p}/pairs.tsv" for m, p in both},
                words={(m, p): f"{results}/scan/{m}/{p}/words.tsv" for m, p in both},
                checks={m: f"{results}/check/{m}.json" for m in config.models},
                transfer=[
                    f"{results}/transfer/{m}/{p}/{part}"
                    for m, p in both
                    for part in (jobs.parts(config, runs, m, p, "transfer") if config.transfer.tasks else ())
                ], settings=config.statistics.model_dump(), pooling=config.pooling.evaluate[0],
                claim_at=config.evaluation.hidden_states[0], output=f"{results}/statistics",
            )  # fmt: skip


def pd_row(cell: dict):
    """A cell's names as a row to compare a table with."""
    import pandas as pd

    return pd.Series(cell)


if __name__ == "__main__":
    sys.exit(main())
