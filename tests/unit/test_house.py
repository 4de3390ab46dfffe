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
FLOORS = [  # what docs/architecture.md shows, read from its table
    set(re.findall(r"`([a-z_]+)/?`", row.split("|")[2]))
    for row in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d+ \|", row)
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
    assert (ROOT / "config" / "README.md").read_text(encoding="utf-8") == reference.markdown(), "run: tli reference > config/README.md"


def test_config_schema_is_what_the_code_says():
    written = (ROOT / "workflow" / "schemas" / "config.schema.json").read_text(encoding="utf-8")
    assert written == reference.schema(), "run: tli reference --schema > workflow/schemas/config.schema.json"


def test_pages_show_the_figures_that_were_measured():
    import sys

    sys.path.insert(0, str(ROOT / "benchmarks"))
    import table

    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in table.PAGES}
    for page, text in texts.items():
        assert text == table.placed(text), f"{page}: run python benchmarks/table.py --write"
    shown = [name for text in texts.values() for _, name, _ in table.BLOCK.findall(text)]
    assert sorted(shown) == sorted(table.TABLES), "each table stands on one page"


def test_every_key_is_explained_with_an_example():
    sections = re.split(r"^## ", (ROOT / "config" / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for key in reference.all_keys():
        section, _, name = key.rpartition(".")
        wanted = f"`{section}" if section else "Top level"
        # An arm takes every key of `training`: those are explained there.
        text = "".join(s for s in sections if s.startswith(wanted) or (section == "arms" and s.startswith("`training`")))
        row = re.search(rf"^\| `{re.escape(name)}` \|(.*)\|$", text, re.MULTILINE)
        assert row, f"{key} is not in config/README.md"
        assert len(row[1].split(" | ")[2].strip()) > 5, f"{key} has no meaning"


def test_rule_files_stay_short():
    assert len((ROOT / "workflow" / "Snakefile").read_text().splitlines()) <= 60
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        assert len(path.read_text().splitlines()) <= 150, path.name


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, at the top or inside a function, by their full names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tli":
            names |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names if name.name.startswith("tli.")}
    return {name for name in map(module_of, names) if name}


def module_of(name: str) -> str:
    """The module of the package in which a dotted name lies; "" for the package itself."""
    parts = name.split(".")
    while len(parts) > 1:
        place = PACKAGE.joinpath(*parts[1:])
        if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
            return ".".join(parts)
        parts.pop()
    return ""


def modules() -> dict[str, set[str]]:
    """Every module of the package and what it imports of it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = imports(path)
    return found


MODULES = modules()


def floor(room: str) -> int:
    numbers = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert numbers, f"{room} stands on no floor: name it in docs/architecture.md"
    return numbers[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_imports_only_from_floors_below_its_own(module):
    if module == "tli":
        return
    room = module.split(".")[1]
    for other in {name.split(".")[1] for name in MODULES[module]} - {room}:
        assert floor(other) < floor(room), f"{room} (floor {floor(room) + 1}) imports {other} (floor {floor(other) + 1})"


def test_no_circle_inside_a_room():
    """A room's files can be put in an order in which each imports only from those before it."""
    inside = {
        name: {other for other in others if other.split(".")[1] == name.split(".")[1] and other != name}
        for name, others in MODULES.items()
        if name != "tli"
    }
    # A room's __init__ gathers its files: they import each other, not their room.
    while inside:
        free = [name for name, needs in inside.items() if not needs & set(inside)]
        assert free, f"these import each other in a circle: {sorted(inside)}"
        for name in free:
            del inside[name]


def test_functions_take_few_arguments_and_calls_fit_their_lines():
    wide, skips = [], 0
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        skips += len(re.findall(r"#\s*fmt:", text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if len([one for one in arguments if one.arg not in ("self", "cls")]) > 9:
                    wide.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert not wide, "more than nine arguments: a spec that has no name yet"
    assert not skips, "the formatter has no exceptions"


def test_no_settings_as_dicts_below_the_config():
    dicts = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"""settings\[["']""", path.read_text(encoding="utf-8"))
    ]
    assert not dicts


def test_one_script():
    assert [path.name for path in (ROOT / "workflow" / "scripts").iterdir() if path.suffix == ".py"] == ["job.py"]


def test_snakemake_is_imported_nowhere_in_the_package():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not any(name.split(".")[0] == "snakemake" for name in names), path


def test_light_rooms_do_not_load_torch():
    code = "import sys; import tli.experiment.job, tli.experiment.inspect, tli.cluster.plan, tli.runtime.console, tli.lexicon, tli.metrics, tli.statistics, tli.report; print('torch' in sys.modules)"
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


def test_make_help_lists_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)[1].split()
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in listed] and {line.split()[0] for line in listed} == set(targets)


def test_contributing_lists_every_marker_option_and_helper_of_the_tests():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tests = {path.relative_to(ROOT / "tests").as_posix(): path for path in (ROOT / "tests").rglob("*.py")}
    code = "\n".join(path.read_text(encoding="utf-8") for path in tests.values())
    for marker in set(re.findall(r"pytest\.mark\.([a-z_]+)", code)):
        assert re.search(rf"^\|[^|]*`{marker}`", text, re.MULTILINE), f"CONTRIBUTING.md does not explain the marker {marker}"
    for option in re.findall(r"addoption\(\"(--[a-z-]+)\"", code):
        assert f"| `{option}` |" in text, f"CONTRIBUTING.md does not explain {option}"
    helpers = {name for name, path in tests.items() if not path.name.startswith(("test_", "conftest"))}
    assert helpers == set(re.findall(r"`((?:unit|workflow|slurm|browser|gpu)/[a-z_]+\.py)`", text)), (
        "CONTRIBUTING.md explains each helper module"
    )


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|smk|tsv))`", text)) - {"summary.md"}  # which a run makes
    places = (ROOT, PACKAGE, ROOT / "tests", ROOT / "workflow", *(path for path in PACKAGE.iterdir() if path.is_dir()))
    gone = [name for name in sorted(named) if not any((place / name).is_file() for place in places)]
    assert not gone, f"{page} names what is not there: {', '.join(gone)}"


def test_the_version_stands_in_one_place():
    import tomllib

    import tli

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"] and project["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "tli.__version__"
    }
    assert project["project"]["scripts"] == {"tli": "tli.__main__:main"}
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert newest == tli.__version__
