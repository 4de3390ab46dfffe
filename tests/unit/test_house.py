"""The house holds together: one list of versions, reference and schema from the code, floors, short rule files."""

from __future__ import annotations

import ast
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tli.config import reference

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workflow" / "tli"
FLOORS = [
    {"errors", "facts", "specs"},
    {"io", "log"},
    {"config", "lexicon", "metrics", "statistics", "progress"},
    {"model"},
    {"probes"},
    {"training"},
    {"experiment"},
    {"cluster", "report", "demo_model"},
    {"stages"},
    {"runtime"},
    {"__main__"},
]


def pins() -> dict[str, str]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    return dict(entry.split("==") for entry in listed)


def test_pip_reads_the_same_list_as_conda():
    """The Makefile takes its requirements out of environment.yml with sed; what it takes is all that conda sees."""
    command = re.search(r"(sed -n '[^\n]+' environment\.yml)", (ROOT / "Makefile").read_text())[1].replace("$$", "$")
    taken = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert dict(entry.split("==") for entry in taken) == pins()


@pytest.mark.parametrize("name", sorted(pins()))
def test_installed_versions_are_the_pinned_ones(name):
    assert metadata.version(name).split("+")[0] == pins()[name]


def test_the_cards_packages_are_there():
    wanted = {"snakemake", "torch", "transformers", "peft", "bitsandbytes", "scipy", "statsmodels", "pandas", "matplotlib"}
    assert wanted <= set(pins())


def test_config_reference_is_what_the_code_says():
    assert (ROOT / "config" / "README.md").read_text(encoding="utf-8") == reference.markdown(), (
        "run: python -m tli reference > config/README.md"
    )


def test_config_schema_is_what_the_code_says():
    written = (ROOT / "workflow" / "schemas" / "config.schema.json").read_text(encoding="utf-8")
    assert written == reference.schema(), "run: python -m tli reference --schema > workflow/schemas/config.schema.json"


def test_readme_shows_the_figures_that_were_measured():
    import sys

    sys.path.insert(0, str(ROOT / "benchmarks"))
    import table

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == table.placed(text), "run: python benchmarks/table.py --write"


def test_every_key_is_explained_with_an_example():
    sections = re.split(r"^## ", (ROOT / "config" / "README.md").read_text(encoding="utf-8"), flags=re.M)
    for key in reference.all_keys():
        section, _, name = key.rpartition(".")
        wanted = f"`{section}" if section else "Top level"
        # An arm takes every key of `training`: those are explained there.
        text = "".join(s for s in sections if s.startswith(wanted) or (section == "arms" and s.startswith("`training`")))
        row = re.search(rf"^\| `{re.escape(name)}` \|(.*)\|$", text, re.M)
        assert row, f"{key} is not in config/README.md"
        assert len(row[1].split(" | ")[2].strip()) > 5, f"{key} has no meaning"


def test_rule_files_stay_short():
    assert len((ROOT / "workflow" / "Snakefile").read_text().splitlines()) <= 60
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        assert len(path.read_text().splitlines()) <= 150, path.name


def imports(path: Path) -> set[str]:
    """Top rooms of the package that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "tli":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tli."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("tli.")}
    return found


def floor(room: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{room} stands on no floor: name it in FLOORS"
    return found[0]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_below(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for room in imports(path) - {own}:
        assert floor(room) <= floor(own), f"{own} imports {room}, which lies above it"


def test_snakemake_is_imported_nowhere_in_the_package():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not any(name.split(".")[0] == "snakemake" for name in names), path


def test_light_rooms_do_not_load_torch():
    code = "import sys; import tli.experiment.jobs, tli.experiment.grid, tli.runtime.console, tli.lexicon, tli.metrics, tli.statistics, tli.report; print('torch' in sys.modules)"
    import sys

    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": "workflow", "PATH": "/usr/bin:/bin"},
    )
    assert out.stdout.strip() == "False"
