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
    methods.add_argument("--output", default="", help="a folder for methods.txt, methods.tex, references.bib, tables/ and figures/ (PDF)")


def _methods(chosen: argparse.Namespace) -> int:
    from tli.experiment.remembered import remembered
    from tli.publishing.methods import as_latex, as_text, report_of, write_methods
    from tli.publishing.sections import methods_text

    experiment = remembered(chosen.results)
    if chosen.output:
        written = write_methods(experiment, chosen.output)
        print(f"{chosen.output}: {len(written)} files; begin with methods.tex and references.bib, figures.tex names each figure's width")
        return 0
    paragraphs = methods_text(experiment, report_of(experiment))
    print(as_latex(paragraphs) if chosen.latex else as_text(paragraphs), end="")
    return 0
