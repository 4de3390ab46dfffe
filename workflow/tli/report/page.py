"""The page: index.html (one file, no network), summary.md, figures and tables, from the workflow's tables."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from importlib import resources
from pathlib import Path

import pandas as pd

from tli.io import tables as contract
from tli.report import glossary, paper, summary
from tli.report.choose import cell_name, groups, table
from tli.report.doubts import doubts, is_demo
from tli.report.gallery import first_verdicts, pictures, primary_picture
from tli.report.methods import methods
from tli.report.said import same_runs, transfer_words
from tli.report.sheets import Sheet, sheets

CELLS_IN_PAGE = 36_000  # of one table; the file beside the page has them all
SVG_IN_PAGE = 5_000_000  # bytes of all figures together; later ones are linked
PROVENANCE = [
    "commit", "versions", "devices", "config_text", "config_digest", "model_revisions", "seeds", "stage_seconds", "dag_svg",
    "command",
]  # fmt: skip
FILTERS = ["model", "pair", "arm", "layer", "rank", "split", "hidden_state", "pooling", "metric", "level", "task"]


def build(
    tables: dict[str, pd.DataFrame], *, config: dict, provenance: dict, audit: dict[str, list], output: Path,
    missing: list[str] = (),
) -> None:  # fmt: skip
    """Write the report into the folder `output`: index.html, summary.md, figures/*.svg and *.png, tables/*.tsv.

    tables      the workflow's tables by name (tables.py), and verdicts, tests and the like; any may be missing or empty
    config      the resolved config as a dict; provenance: commit, versions, devices, config_text, ... ; all optional
    audit       per pair, lines (severity, text) of the lexicon's audit
    missing     what a partial grid lacks, in words; not empty makes a partial report that says so first
    The folder is written whole; what lay there is replaced only at the end.
    """
    output, missing = Path(output), list(missing)
    provenance = {**dict.fromkeys(PROVENANCE), **provenance}
    tables = {name: frame for name, frame in tables.items() if frame is not None}
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "report"
        made.mkdir()
        context = _context(tables, config, provenance, audit, missing, made)
        _write(made / "index.html", _render(context))
        _write(made / "summary.md", summary.text(context))
        _replace(made, output)


def _replace(made: Path, output: Path) -> None:
    """Move the finished files to `output`; other files that stand there (Snakemake's own) stay."""
    output.mkdir(parents=True, exist_ok=True)
    for item in sorted(made.iterdir(), key=lambda path: path.name == "index.html"):  # the page itself last
        with contract.whole(output / item.name) as beside:
            if item.is_dir():
                shutil.copytree(item, beside)
            else:
                shutil.copyfile(item, beside)


def _context(tables, config, provenance, audit, missing, made: Path) -> dict:
    found = groups(tables, config)
    shown = sheets(tables, config, found)
    figures = made / "figures"
    figures.mkdir()
    primary = primary_picture(tables, config, found, figures)
    sections, room = [], SVG_IN_PAGE
    for model, pair in found:
        own = []
        for picture in pictures(tables, config, (model, pair), figures):
            room -= len(picture.svg)
            own.append((picture, room >= 0))
        sections.append({"model": model, "pair": pair, "pictures": own, "demo": is_demo(config, model)})
    text, references = methods(tables, config, provenance)
    clean = {sheet.name: sheet.frame.pipe(_clean) for sheet in shown}
    for name, frame in clean.items():
        contract.write(frame, made / "tables" / f"{name}.tsv")
    firsts = first_verdicts(tables, config, found)
    rest = table(tables, "verdicts")
    stage_seconds = pd.DataFrame(provenance.get("stage_seconds") if provenance.get("stage_seconds") is not None else [])
    return {
        "title": config.get("title") or "Targeted Lexical Injection",
        "question": config.get("question") or "",
        "demo": is_demo(config),
        "asked": _asked(tables, config),
        "verdicts": firsts.to_dict("records"),
        "verdict_counts": rest["verdict"].value_counts().to_dict() if len(rest) else {},
        "others": rest.to_dict("records")[:60] if len(rest) > len(firsts) else [],
        "others_left": max(0, len(rest) - 60),
        "primary": primary,
        "same": same_runs(tables),
        "transfer_words": transfer_words(tables, config, found),
        "doubts": doubts(tables, config, audit, found),
        "audit": audit or {},
        "missing": missing,
        "sections": sections,
        "table_1": _table_1(clean.get("table-1")),
        "table_1_published": paper.TABLE_1.to_dict("records"),
        "table_2": clean["table-2"].to_dict("records") if "table-2" in clean else [],
        "beside": paper.beside(config),
        "published": paper.PUBLISHED,
        "sheets": [_described(sheet, clean[sheet.name]) for sheet in shown],
        "data": {sheet.name: columnar(_fitted(clean[sheet.name])[0]) for sheet in shown if sheet.in_page},
        "metrics": glossary.METRICS,
        "references_all": glossary.REFERENCES,
        "terms": glossary.TERMS,
        "methods": text,
        "references": references,
        "provenance": provenance,
        "seeds": provenance["seeds"] if provenance["seeds"] is not None else config.get("seeds", "unknown"),
        "stages": _stages(stage_seconds),
        "graph": _graph(provenance.get("dag_svg")),
        "cell_name": cell_name,
        "label": glossary.label,
    }


def _asked(tables, config) -> str:
    """Size of the experiment in one line."""
    grid = table(tables, "grid")
    if grid.empty:
        return "No run yet."
    counts = {
        "models": grid["model"].nunique(), "language pairs": grid["pair"].nunique(), "arms": grid["arm"].nunique(),
        "loss layers": grid["layer"].nunique(), "ranks": grid["rank"].nunique(), "seeds": grid["seed"].nunique(),
        "runs": len(grid),
    }  # fmt: skip
    text = ", ".join(f"{n:,} {name if n != 1 else name[:-1]}" for name, n in counts.items())
    protocol = config.get("protocol")
    return text + (f"; protocol: {protocol}" if protocol else "") + "."


def _table_1(frame: pd.DataFrame | None) -> list[dict]:
    """The first seed of every group and split, whatever came out; the other runs are in the table below it."""
    if frame is None or frame.empty:
        return []
    first = frame.drop_duplicates(["model", "pair", "split"])
    place = first.groupby(["model", "pair"], sort=False).ngroup() * 2 + (first["split"] != "train")
    return first.loc[place.sort_values(kind="stable").index].to_dict("records")


def _stages(frame: pd.DataFrame) -> list[dict]:
    """Jobs, wall seconds and GPU seconds by stage, and their sum."""
    if frame.empty or "stage" not in frame.columns:
        return []
    frame = frame.rename(columns={"gpu seconds": "gpu_seconds"})
    for column in ("seconds", "gpu_seconds"):
        frame[column] = pd.to_numeric(frame[column], errors="coerce") if column in frame.columns else float("nan")
    by_stage = frame.groupby("stage", sort=False).agg(
        jobs=("stage", "size"), seconds=("seconds", "sum"), gpu_seconds=("gpu_seconds", "sum")
    )
    total = by_stage.sum().rename("all stages")
    return pd.concat([by_stage, total.to_frame().T]).reset_index(names="stage").to_dict("records")


def _graph(graph: str | None) -> dict | None:
    """The DAG for the page: an SVG becomes an image that cannot run anything, other text stays text."""
    if not graph:
        return None
    if "<svg" in graph:
        return {"image": "data:image/svg+xml;base64," + base64.b64encode(graph.encode()).decode(), "text": ""}
    return {"image": "", "text": graph}


def _clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Text without tabs and line ends, booleans and labels as text: what a cell of the TSV and of the page holds alike."""
    frame = frame.copy()
    for column in frame.columns:
        kind = frame[column].dtype
        if pd.api.types.is_bool_dtype(kind):
            frame[column] = frame[column].map({True: "True", False: "False"}).astype(object)
        elif not pd.api.types.is_numeric_dtype(kind):
            text = frame[column].astype(object)
            frame[column] = text.where(text.notna(), "").map(str).str.replace(r"[\t\r\n]+", " ", regex=True).astype(object)
    return frame


def _fitted(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """As much of a table as the page takes, the rows that claims rest on first, and a note on what was left out."""
    most, whole, notes = max(100, CELLS_IN_PAGE // max(1, len(frame.columns))), len(frame), []
    for column, value, note in (
        ("split", "heldout", "held-out"), ("hidden_state", "output", "at the last hidden state"),
        ("test", "paired t over words", "paired t over words"),
    ):  # fmt: skip
        if len(frame) > most and column in frame.columns:
            kept = frame[frame[column] == (frame[column].max() if value == "output" else value)]
            if len(kept):
                frame, notes = kept, [*notes, note]
    if len(frame) > most and "level" in frame.columns:
        frame = frame.loc[(frame["level"] != "confirmatory").sort_values(kind="stable").index]
    if len(frame) > most:
        frame, notes = frame.head(most), [*notes, f"the first {most:,}"]
    return frame, f"{', '.join(notes)}; {len(frame):,} of {whole:,} rows, the file has them all" if notes else ""


def columnar(frame: pd.DataFrame) -> dict:
    """A table as the page's script reads it: {"columns", "kinds", "data"}; repeated text is kept once (levels and codes)."""
    kinds, data = [], []
    for column in frame.columns:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values.dtype):
            kinds.append("number")
            whole = pd.api.types.is_integer_dtype(values.dtype)
            listed = values.tolist()
            data.append(listed if whole else [_number(value) for value in listed])
        else:
            kinds.append("text")
            codes, levels = pd.factorize(values.astype(object))
            repeated = len(levels) * 2 < len(values)
            data.append({"levels": list(levels), "codes": codes.tolist()} if repeated else values.tolist())
    return {"columns": list(frame.columns), "kinds": kinds, "data": data}


def _number(value) -> float | int | str | None:
    """A number as JSON can hold it: no NaN, infinities as text, whole numbers short."""
    if value is None or pd.isna(value):
        return None
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else float(value)


def _described(sheet: Sheet, frame: pd.DataFrame) -> dict:
    shown, note = _fitted(frame)
    wide = len(frame.columns) > len(sheet.main) > 0
    return {
        "name": sheet.name, "title": sheet.title, "what": sheet.what, "how": sheet.how, "rows": len(frame), "note": note if sheet.in_page else "", "in_page": sheet.in_page,
        "filters": [c for c in FILTERS if c in frame.columns and 1 < shown[c].nunique() <= 200],
        "main": [c for c in sheet.main if c in frame.columns] if wide else [],
        "help": [(column, text) for column in frame.columns if (text := glossary.meaning(column))],
    }  # fmt: skip


def as_json(value) -> str:
    """JSON that can stand inside a script element: no character in it ends the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _render(context: dict) -> str:
    import jinja2
    from markupsafe import Markup

    static = resources.files("tli.report") / "static"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"figures": summary.figures, "signed": summary.signed, "p": summary.probability, "time": summary.duration}
    template = environment.from_string((static / "template.html").read_text(encoding="utf-8"))
    return template.render(
        **{**context, "data": Markup(as_json(context["data"]))},
        sheets_json=Markup(
            as_json({s["name"]: {k: s[k] for k in ("title", "filters", "main")} for s in context["sheets"] if s["in_page"]})
        ),
        style=Markup((static / "style.css").read_text(encoding="utf-8")),
        script=Markup((static / "script.js").read_text(encoding="utf-8")),
        markup=Markup,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
