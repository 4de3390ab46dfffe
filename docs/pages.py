"""Pages that `make docs` adds to those of docs/: what stands elsewhere in the tree, and what is made from the code.

A hook of mkdocs (mkdocs.yml). Links between the tree's files are turned into links between pages; a link to a file that is no page,
or to none at all, stops the build.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "workflow" / "tli"
PAGES = {  # a page -> the file of the tree that it is
    "index.md": "README.md",
    "config.md": "config/README.md",
    "lists.md": "resources/README.md",
    "shipped-lists.md": "resources/lexicons/README.md",
    "demo.md": "resources/demo/README.md",
    "demo-transfer.md": "resources/demo/transfer/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "licence.md": "LICENSE",
}
LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Decisions and rooms go into the navigation by themselves."""
    sys.path.insert(0, str(ROOT / "workflow"))
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    config.nav += [
        {"Decisions": [{_title(ROOT / "docs" / "decisions" / name): f"decisions/{name}"} for name in decisions]},
        {"The package": [{room: f"package/{room}.md"} for room in rooms()]},
        {"Licence": ["licence.md", {"Items of the demo's tasks": "demo-transfer.md"}]},
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that docs/ does not hold."""
    made = {page: (ROOT / file).read_text(encoding="utf-8") for page, file in PAGES.items()}
    made["licence.md"] = "# Licence\n\n```text\n" + made["licence.md"] + "```\n"
    made["tables.md"] = tables()
    made |= {f"package/{room}.md": _room(room) for room in rooms()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links between files of the tree become links between pages."""
    here = page.file.src_uri
    source = ROOT / PAGES.get(here, f"docs/{here}")
    of_file = {(ROOT / file).resolve(): name for name, file in PAGES.items()}

    def linked(found: re.Match[str]) -> str:
        target = (source.parent / found[2]).resolve()
        name = of_file.get(target)
        if name is None and target.is_relative_to(ROOT / "docs"):
            name = target.relative_to(ROOT / "docs").as_posix()
        up = "../" * here.count("/")
        return f"{found[1]}{up}{name}{found[3] or ''})" if name else found[0]

    return LINK.sub(linked, markdown)


def rooms() -> list[str]:
    """The package's rooms, folders and single files, as the architecture's floors name them."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    floors = re.findall(r"^\| \d+ \| ([^|]+) \|", text, re.MULTILINE)
    return [name.strip("`/") for floor in floors for name in re.findall(r"`[^`]+`", floor)]


def _room(room: str) -> str:
    if (PACKAGE / room).is_dir():
        files = sorted(path for path in (PACKAGE / room).rglob("*.py") if path.name != "__init__.py")
        modules = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files]
    else:
        modules = [f"tli.{room}"]
    return f"# {room}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"


def tables() -> str:
    """The contract of the tables between the stages, from the lists of columns in tli/io/tables.py and the comments beside them."""
    path = PACKAGE / "io" / "tables.py"
    from tli.io import tables as contract
    from tli.labels import METRICS

    with path.open("rb") as stream:
        comments = {t.start[0]: t.string.lstrip("# ") for t in tokenize.tokenize(stream.readline) if t.type == tokenize.COMMENT}
    parts = ["# Every table, column by column\n", contract.__doc__ or "", f"\n## RUN\n\n```text\n{_about_runs(path)}\n```\n"]
    body = ast.parse(path.read_text(encoding="utf-8")).body
    lists = {node.targets[0].id: node.value for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
    lists = {name: value for name, value in lists.items() if name.isupper() and isinstance(getattr(contract, name), list)}
    meanings = {name: _meanings(value, comments) for name, value in lists.items()}
    of_others = {column: text for words in reversed(meanings.values()) for column, text in words.items() if text}
    of_others |= dict.fromkeys(contract.RUN, "see RUN") | {name: one.meaning for name, one in METRICS.items()}
    for name, words in meanings.items():
        if name == "RUN":
            continue
        rows = [f"| `{column}` | {words.get(column) or of_others.get(column, '')} |" for column in getattr(contract, name)]
        parts.append(f"## {name}\n\n| column | what it is |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _about_runs(path: Path) -> str:
    """The comment above RUN."""
    lines = path.read_text(encoding="utf-8").split("\n")
    end = next(number for number, line in enumerate(lines) if line.startswith("RUN = "))
    start = end
    while lines[start - 1].startswith("#"):
        start -= 1
    return "\n".join(line.lstrip("# ") for line in lines[start:end])


def _meanings(value: ast.expr, comments: dict[int, str]) -> dict[str, str]:
    """Column -> the comment on its line; a column that is written on a line of several has that of the line."""
    items = [item for part in ast.walk(value) if isinstance(part, ast.List) for item in part.elts]
    named = [item for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return {item.value: comments.get(item.lineno, "").replace("|", "\\|") for item in named}


def _title(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return re.sub(r"^# (\d+[.:] )?", "", first)
