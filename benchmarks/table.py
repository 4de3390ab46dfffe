"""The newest figures below benchmarks/results as the tables that README.md and docs/benchmarks.md show.

    python benchmarks/table.py [--write]

--write puts them there between two marks; a test holds that the pages show what the files say.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MARKS = "<!-- figures: python benchmarks/table.py --write -->", "<!-- end of figures -->"


def read(name: str) -> tuple[str, list[dict]]:
    """The comment line of a table (date, machine) and its rows; nothing where it was not measured."""
    path = RESULTS / f"{name}.tsv"
    if not path.exists():
        return "", []
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("# "), list(csv.DictReader(lines, delimiter="\t"))


def eight_billion() -> list[str]:
    said, rows = read("eight-billion")
    if not rows:
        return []
    lines = [
        "| Llama-3-8B's shape, 32 blocks, bf16, 686 pairs | files | seconds | peak memory | bare products | bare reading | against the longer |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        what = {"scan": "scan of all 33 hidden states", "training": f"training at hs[2], {row['steps']} steps"}.get(
            row["stage"], "evaluation, base and adapter"
        )
        reading = f"{float(row['bare_reading_s']):.1f} s" if row["bare_reading_s"] else "not measured"
        bare = f"{float(row['bare_products_s']):.0f} s | {reading}"
        longer = f"{row['ratio_to_longer']} x" if row["ratio_to_longer"] else "not measured"
        memory = f"{float(row['peak_mib']) / 1024:.1f} GiB"
        lines.append(f"| {what} | {row['files']} | {float(row['seconds']):.0f} | {memory} | {bare} | {longer} |")
    return [*lines, "", f"({said})", ""]


def ratios() -> list[str]:
    lines = ["| what | model | ours | gain |", "|---|---|---|---|"]
    notes = []
    for name in ("ratios", "grid"):
        said, rows = read(name)
        notes += [said] if rows else []
        grouped: dict[tuple, list[dict]] = {}
        for row in rows:
            grouped.setdefault((row["what"], row["model"]), []).append(row)
        for (what, model), found in grouped.items():
            gains = ", ".join(f"**{float(row['ratio']):.1f} x** {row['against']}" for row in reversed(found))
            lines.append(f"| {what} | {model} | {float(found[0]['ours']):.3g} {found[0]['unit']} | {gains} |")
    return [*lines, "", f"({'; grid: '.join(dict.fromkeys(notes))})"]


def anchor_cost() -> list[str]:
    tables = [found for shape in ("demo", "32", "8b") if (found := read(f"anchor-cost-{shape}"))[1]]
    if not tables:
        return []
    rows, notes = [row for _, found in tables for row in found], dict.fromkeys(said for said, _ in tables)
    lines = ["| training step with an anchor | model | plain step | times the plain step |", "|---|---|---|---|"]
    lines += [f"| {row['against']} | {row['model']} | {float(row['ours']):.3g} {row['unit']} | {float(row['ratio']):.2f} |" for row in rows]
    return ["", *lines, "", f"({'; '.join(notes)})"]


def languages() -> str:
    said, rows = read("languages")
    lines = ["| what | |", "|---|---|"] + [f"| {row['what']} | {row['value']} {row['unit']} |" for row in rows]
    return "\n".join([*lines, "", f"({said})"])


def report() -> str:
    said, rows = read("report")
    lines = ["| page of | processor time | peak memory | page | beside the page | first paint | loaded |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        opened = " | ".join(f"{float(row[name]):.2f} s" if row.get(name) else "not measured" for name in ("first_paint_s", "load_s"))
        sizes = f"{row['peak_mb']} MB | {row['page_mb']} MB | {row['beside_mb']} MB"
        lines.append(f"| {row['cells']} cells, {int(row['runs']):,} runs | {row['build_cpu_s']} s | {sizes} | {opened} |")
    return "\n".join([*lines, "", f"({said})"])


def markdown() -> str:
    return "\n".join([*eight_billion(), *ratios(), *anchor_cost()])


PAGES = {"README.md": (markdown,), "docs/benchmarks.md": (languages, report)}


def placed(text: str, page: str = "README.md") -> str:
    """A page's text with its tables between its marks, in their order."""
    text, *rest = text.split(MARKS[0])
    for table, part in zip(PAGES[page], rest, strict=True):
        text += MARKS[0] + "\n\n" + table() + "\n\n" + MARKS[1] + part.split(MARKS[1])[1]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put them into the pages")
    write = parser.parse_args().write
    for page, tables in PAGES.items():
        if write:
            file = ROOT / page
            file.write_text(placed(file.read_text(encoding="utf-8"), page), encoding="utf-8")
        else:
            print("\n\n".join(table() for table in tables))


if __name__ == "__main__":
    main()
