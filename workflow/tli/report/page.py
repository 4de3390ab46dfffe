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
    }
    template = environment.from_string((static / "template.html").read_text(encoding="utf-8"))
    in_page = [one for one in gathered["sheets"] if one.sheet.kind.in_page]
    described = {one.sheet.name: {"title": one.sheet.kind.title, "filters": one.filters, "main": one.sheet.main} for one in in_page}
    return template.render(
        **{**gathered, "data": Markup(as_json(gathered["data"]))},
        sheets_json=Markup(as_json(described)),
        style=Markup((static / "style.css").read_text(encoding="utf-8")),
        script=Markup((static / "script.js").read_text(encoding="utf-8")),
        markup=Markup,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
