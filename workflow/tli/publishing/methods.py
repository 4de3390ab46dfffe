"""The methods section of a run, its tables and figures, for a paper: text, LaTeX, BibTeX, booktabs, PDF."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from tli.errors import TliError
from tli.experiment import Experiment
from tli.io import table_files
from tli.io.atomic import whole
from tli.labels import arm_label, metric_label
from tli.publishing.bibliography import WORKS, bibtex
from tli.publishing.drawn import write_figures
from tli.publishing.latex import booktabs, cited, interval
from tli.publishing.sections import methods_text
from tli.report.input import ReportInput
from tli.report.selection import layer_name
from tli.stages.report import report_input, with_words

MAIN = ["model", "pair", "arm", "layer", "before", "change", "against the placebo", "p", "verdict"]
HARM = ["model", "pair", "arm", "layer", "language", "rise", "KL", "leaves the model whole"]


def keys_of(paragraphs: list[str]) -> list[str]:
    """The works that the text cites, in its order."""
    return list(dict.fromkeys(key for text in paragraphs for key in re.findall(r"\[([a-z]+)\]", text) if key in WORKS))


def as_text(paragraphs: list[str]) -> str:
    """Plain text with numbered references."""
    keys = keys_of(paragraphs)
    text = "\n\n".join(paragraphs)
    for number, key in enumerate(keys, 1):
        text = text.replace(f"[{key}]", f"[{number}]")
    listed = [f"[{number}] {_reference(key)}" for number, key in enumerate(keys, 1)]
    return text + "\n\n" + "\n".join(listed) + "\n"


def as_latex(paragraphs: list[str]) -> str:
    """The same for LaTeX, with natbib's citations."""
    keys = keys_of(paragraphs)
    return "\n\n".join(cited(text, keys) for text in paragraphs) + "\n"


def write_methods(experiment: Experiment, output: str | Path) -> list[str]:
    """Write methods.txt, methods.tex, references.bib, tables/ (TSV and booktabs) and figures/ (PDF); returns their names.

    Whole or not at all. Raises TliError where `output` is there.
    """
    folder = Path(output)
    if folder.exists():
        raise TliError(f"{output} is there already; name a folder that is not")
    report = with_words(experiment, report_input(experiment, partial=True))
    paragraphs = methods_text(experiment, report)
    with whole(folder) as beside:
        (beside / "tables").mkdir(parents=True)
        (beside / "methods.txt").write_text(as_text(paragraphs), encoding="utf-8")
        (beside / "methods.tex").write_text(as_latex(paragraphs), encoding="utf-8")
        (beside / "references.bib").write_text(bibtex(keys_of(paragraphs)), encoding="utf-8")
        for name, table, caption in _tables(report):
            table_files.write(table, beside / "tables" / f"{name}.tsv")
            rows = [list(map(str, row)) for row in table.itertuples(index=False)]
            (beside / "tables" / f"{name}.tex").write_text(booktabs(list(table.columns), rows, caption, f"tab:{name}"), encoding="utf-8")
        widths = write_figures(report, beside / "figures")
        commands = {"column": r"\columnwidth", "page": r"\textwidth"}
        lines = [f"\\includegraphics[width={commands[width]}]{{figures/{name}.pdf}}" for name, width in widths.items()]
        (beside / "figures.tex").write_text(
            "% each figure with the width that it is made for\n" + "\n".join(lines) + "\n", encoding="utf-8"
        )
        return sorted(path.relative_to(beside).as_posix() for path in beside.rglob("*") if path.is_file())


def _tables(report: ReportInput) -> list[tuple[str, pd.DataFrame, str]]:
    """(name, table, caption) of what a paper shows first."""
    verdicts, harm, claims = report.tables.verdicts, report.tables.harm, report.experiment.claims
    demo = " A demo model's figures: no claim about a real one." if report.experiment.is_demo else ""
    made = []
    if len(verdicts):
        rows = [
            [
                *_cell(row),
                f"{row['before']:.3f}",
                interval(row["change"], row["change_low"], row["change_high"]),
                interval(row["against_placebo"], row["against_placebo_low"], row["against_placebo_high"]),
                f"{row['p_family']:.2g}",
                row["verdict"],
            ]
            for row in verdicts.to_dict("records")
        ]
        caption = (
            f"{metric_label(claims.primary)} on held-out words among the forms that no training touched. Intervals are over other seeds and "
            f"other words; p is the larger of both contrasts, adjusted over the family.{demo}"
        )
        made.append(("main", pd.DataFrame(rows, columns=MAIN), caption))
    if len(harm):
        rows = [
            [*_cell(row), row["language"], interval(row["rise"], row["low"], row["high"]), f"{row['kl']:.3f}", _whole(row)]
            for row in harm.to_dict("records")
        ]
        caption = f"Rise of cross-entropy on running text, nats a token, and the divergence of the predictions.{demo}"
        made.append(("harm", pd.DataFrame(rows, columns=HARM), caption))
    return made


def _cell(row: dict) -> list[str]:
    return [row["model"], row["pair"], arm_label(row["arm"], row["rank"]), layer_name(row["layer"])]


def _whole(row: dict) -> str:
    return "yes" if row["high"] < row["margin"] else "no" if row["low"] > row["margin"] else "not decided"


def _reference(key: str) -> str:
    """An entry as plain text."""
    fields = WORKS[key][1]
    plain = {name: re.sub(r"\\['\"v`^~]?|[{}]", "", value) for name, value in fields.items()}
    place = plain.get("booktitle") or plain.get("journal") or plain.get("howpublished", "")
    identifier = f" arXiv:{plain['eprint']}." if "eprint" in plain else ""
    authors = plain["author"].replace(" and others", " et al").replace(" and ", "; ").removesuffix(".")
    parts = [authors, plain["title"], place, plain.get("year", "")]
    return ". ".join(part for part in parts if part) + f".{identifier}"
