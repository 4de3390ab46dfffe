"""The methods section of a run, its tables and figures, for a paper: text, LaTeX, BibTeX, booktabs, PDF."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tli.experiment import Experiment
from tli.io import table_files
from tli.io.atomic import whole
from tli.io.place import assert_free
from tli.labels import arm_label, metric_label
from tli.publishing.bibliography import WORKS, bibtex
from tli.publishing.document import document
from tli.publishing.drawn import Written, write_figures
from tli.publishing.latex import ACCENTS, booktabs, cited, figure, interval
from tli.publishing.sections import methods_text
from tli.report.input import ReportInput
from tli.report.selection import layer_name
from tli.stages.report import report_input, with_words

MAIN = ["model", "pair", "arm", "layer", "before", "change", "against the placebo", "p", "verdict"]
Table = tuple[str, pd.DataFrame, str]
PLACE = ("model", "pair", "layer")
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
    """Write methods.txt, methods.tex, references.bib, tables/ (TSV and booktabs), figures/ (PDF) and paper.tex, which takes all in.

    Returns their names. Whole or not at all. Raises TliError where `output` is there.
    """
    folder = Path(output)
    assert_free(folder)
    report = with_words(experiment, report_input(experiment, partial=True))
    paragraphs = methods_text(experiment, report)
    with whole(folder) as beside:
        beside.mkdir(parents=True)
        drawn = write_figures(report, beside / "figures")
        write_document(beside, paragraphs, _tables(report), drawn)
        return sorted(path.relative_to(beside).as_posix() for path in beside.rglob("*") if path.is_file())


def write_document(folder: Path, paragraphs: list[str], named: list[Table], drawn: Mapping[str, Written]) -> None:
    """Write all but the figures, which lie in `folder`/figures. named: (name, table, caption) of each table."""
    (folder / "tables").mkdir()
    (folder / "methods.txt").write_text(as_text(paragraphs), encoding="utf-8")
    (folder / "references.bib").write_text(bibtex(keys_of(paragraphs)), encoding="utf-8")
    parts = {"methods": as_latex(paragraphs)}
    for name, table, caption in named:
        table_files.write(table, folder / "tables" / f"{name}.tsv")
        parts[f"tables/{name}"] = _as_booktabs(table, caption, f"tab:{name}")
    floats = [figure(f"figures/{name}.pdf", one.caption, f"fig:{name}", one.width == "page") for name, one in drawn.items()]
    parts["figures"] = "\n".join(floats)
    for place, text in parts.items():
        (folder / f"{place}.tex").write_text(text, encoding="utf-8")
    (folder / "paper.tex").write_text(document(parts), encoding="utf-8")


def _as_booktabs(table: pd.DataFrame, caption: str, label: str) -> str:
    """The table; a name that all rows share stands in the caption instead of a column."""
    shared = {name: str(table[name].iloc[0]) for name in PLACE if name in table and len(table) > 1 and table[name].nunique() == 1}
    shown = table.drop(columns=list(shared))
    told = ", ".join(f"{name} {value}" for name, value in shared.items())
    rows = [list(map(str, row)) for row in shown.itertuples(index=False)]
    return booktabs(list(shown.columns), rows, f"{caption} All rows: {told}." if told else caption, label)


def _tables(report: ReportInput) -> list[Table]:
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
    plain = {name: _letters(value) for name, value in fields.items()}
    place = plain.get("booktitle") or plain.get("journal") or plain.get("howpublished", "")
    identifier = f" arXiv:{plain['eprint']}." if "eprint" in plain else ""
    authors = plain["author"].replace(" and others", " et al").replace(" and ", "; ").removesuffix(".")
    parts = [authors, plain["title"], place, plain.get("year", "")]
    return ". ".join(part for part in parts if part) + f".{identifier}"


def _letters(text: str) -> str:
    r"""BibTeX's accents as letters, without its braces.

    >>> _letters(r"{XNLI} by J{\'e}gou and Glava{\v{s}}")
    'XNLI by Jégou and Glavaš'
    """
    marks = {command[1:]: mark for mark, command in ACCENTS.items()}
    accented = re.sub(r"\\(['\"`^~=.]|[uvHdckrb](?=\{))\{?(\w)\}?", lambda found: found[2] + marks[found[1]], text)
    return unicodedata.normalize("NFC", re.sub(r"[{}\\]", "", accented))
