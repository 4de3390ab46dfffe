"""The commands that bring a run to a paper and a hub."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_publishing(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to the command line; `add` makes a command of a name, a function and a text."""
    methods = add(
        "methods", _methods, "Print the methods section of a run; with --output its LaTeX, BibTeX, tables and figures too.", config=False
    )
    methods.add_argument("results", help="the results of a run")
    methods.add_argument("--latex", action="store_true", help="print LaTeX instead of plain text")
    methods.add_argument(
        "--output",
        default="",
        help="a folder for methods.txt, methods.tex, references.bib, tables/, figures/ (PDF) and paper.tex, which takes all in",
    )
    publish = add(
        "publish",
        _publish,
        "Write a folder to share: adapters or weights with model cards, results, tables. Nothing is uploaded.",
        config=False,
    )
    publish.add_argument("results", help="the results of a run")
    publish.add_argument("--output", required=True, help="the folder to write")
    publish.add_argument(
        "--run",
        dest="names",
        action="append",
        default=[],
        metavar="NAME",
        help="a run that is shared, as tli/layer-2/rank-16/seed-1, with or without model/pair/ before it; may be repeated. By default the "
        "first seed of every cell that is no control",
    )
    publish.add_argument(
        "--base-model",
        action="append",
        default=[],
        metavar="MODEL=ORG/NAME",
        help="the hub's name of a model that lay in a folder, for the cards",
    )
    publish.add_argument(
        "--dataset", action="append", default=[], metavar="PAIR=ORG/NAME", help="the hub's name of a word list, for the cards"
    )
    publish.add_argument("--license", default="", help="the licence of what was trained, by the hub's name of it, as apache-2.0")
    publish.add_argument("--overwrite", action="store_true", help="replace a folder that this command wrote")


def _publish(chosen: argparse.Namespace) -> int:
    from tli.publishing.card import Given
    from tli.publishing.folder import publish

    given = Given(_named("--base-model", chosen.base_model), _named("--dataset", chosen.dataset), chosen.license)
    made = publish(chosen.results, chosen.output, chosen.names, given, chosen.overwrite)
    print(
        f"{chosen.output}: {len(made.places)} run{'s' * (len(made.places) != 1)} with {'its card' if len(made.places) == 1 else 'cards'}, results and tables; "
        "nothing was uploaded"
    )
    for text in made.left:
        print(f"not in it: {text}")
    print("to upload them:")
    print("\n".join(f"  {command}" for command in made.commands))
    return 0


def _named(option: str, entries: list[str]) -> dict[str, str]:
    from tli.errors import TliError
    from tli.publishing.public import HUB_ID

    named = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        if not (name and HUB_ID.fullmatch(value)):
            raise TliError(f"{option} {entry}: write it as name=organisation/name")
        named[name] = value
    return named


def _methods(chosen: argparse.Namespace) -> int:
    from tli.experiment.remembered import remembered
    from tli.publishing.methods import as_latex, as_text, write_methods
    from tli.publishing.sections import methods_text
    from tli.stages.report import report_input

    experiment = remembered(chosen.results)
    if chosen.output:
        written = write_methods(experiment, chosen.output)
        print(f"{chosen.output}: {len(written)} files; paper.tex takes them all in (pdflatex, bibtex, pdflatex twice)")
        return 0
    paragraphs = methods_text(experiment, report_input(experiment, partial=True))
    print(as_latex(paragraphs) if chosen.latex else as_text(paragraphs), end="")
    return 0
