"""The report's folder: index.html (one file, no network), summary.md, figures and tables, from one ReportInput."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from tli.io.atomic import whole
from tli.report import glossary, numbers, summary
from tli.report.columnar import as_json
from tli.report.context import context
from tli.report.input import ReportInput

SCRIPTS = ("page.js", "figures.js", "tables.js", "places.js")  # one after the other, in one scope


def build(report: ReportInput, output: Path | str) -> None:
    """Write the report into the folder `output`: index.html, summary.md, figures/*.svg and *.png, tables/*.tsv.

    The folder is written whole; what lay there is replaced only at the end.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        gathered = context(report, made)
        _write(made / "index.html", _render(gathered))
        _write(made / "summary.md", summary.text(gathered))
        _replace(made, Path(output))


def _replace(made: Path, output: Path) -> None:
    """Move the finished files to `output`; other files that stand there (Snakemake's own) stay."""
    output.mkdir(parents=True, exist_ok=True)
    for item in sorted(made.iterdir(), key=lambda path: path.name == "index.html"):  # the page itself last
        with whole(output / item.name) as beside:
            if item.is_dir():
                shutil.copytree(item, beside)
            else:
                shutil.copyfile(item, beside)


def _render(gathered: dict[str, Any]) -> str:
    import jinja2
    from markupsafe import Markup

    static = resources.files("tli.report") / "static"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "figures": numbers.figures,
        "signed": numbers.signed,
        "p": numbers.probability,
        "time": numbers.duration,
        "explained": glossary.explained,
        "bound": numbers.bound,
    }
    template = environment.from_string((static / "template.html").read_text(encoding="utf-8"))
    shown = gathered["sheets"]
    described = {
        one.name: {
            "title": one.kind.title,
            "filters": one.filters,
            "main": one.main,
            "rows": one.rows,
            "beside": one.beside,
            "size": one.size,
        }
        for one in shown
    }
    script = "".join((static / name).read_text(encoding="utf-8") for name in SCRIPTS)
    data = ",".join(f"{as_json(one.name)}:{one.data}" for one in shown if one.data)
    return template.render(
        **gathered,
        data=Markup(f"{{{data}}}"),
        sheets_json=Markup(as_json(described)),
        style=Markup((static / "style.css").read_text(encoding="utf-8")),
        script=Markup(f'"use strict";\n(() => {{\n{script}}})();\n'),
        markup=Markup,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
