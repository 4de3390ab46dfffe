"""Faults planted into the pure rooms, one at a time, and whether their tests notice (mutation analysis).

A fault turns one operator or constant of the code around: < and <=, + and -, and and or, min and max, 1 and 2, a `not` gone. Which
places are taken is drawn with a seed, evenly over the rooms' files by their length. Each fault runs the room's own tests in a copy of
the tree, until the first one fails; what none notices is told, with its line. `make mutants` writes docs/mutation.md.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = {  # files of the package -> the tests that hold them
    "metrics": ("metrics/*.py", "tests/unit/test_metrics*.py tests/unit/test_select_maps.py tests/unit/test_own_word.py"),
    "statistics": ("statistics/*.py", "tests/unit/test_statistics*.py tests/unit/test_harm_planted.py tests/unit/test_recomputed.py"),
    "splits": (
        "lexicon/{split,assign,components,folds,placement,sizes,merging}.py",
        "tests/unit/test_lexicon_split.py tests/unit/test_lexicon_folds.py tests/unit/test_lexicon_union.py tests/unit/test_lexicon_clean.py",
    ),
}
SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "mean": "sum",
    "isfinite": "isnan",
    "cumsum": "cumprod",
    "argsort": "argmax",
}


def places(tree: ast.AST) -> list[tuple[int, str]]:
    """(number of the node in the walk, what kind of fault) for every place that a fault can be planted at."""
    found, skipped = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) or isinstance(node, ast.FunctionDef) and node.returns is not None:
            annotation = node.returns if isinstance(node, ast.FunctionDef) else node.annotation
            skipped |= {id(inner) for inner in ast.walk(annotation)} if annotation is not None else set()
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            found.append((number, "comparison"))
        elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
            found.append((number, "operator"))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            found.append((number, "not"))
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            found.append((number, "constant"))
        elif isinstance(node, ast.Attribute) and node.attr in NAMES or isinstance(node, ast.Name) and node.id in NAMES:
            found.append((number, "name"))
    return found


def planted(source: str, number: int) -> tuple[str, int, str, str]:
    """The source with the fault at that node; its line; the code before and after."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[number]
    before = ast.unparse(node)
    if isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.UnaryOp):
        kept = copy.deepcopy(node.operand)
        node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), kept)
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1
    elif isinstance(node, ast.Attribute):
        node.attr = NAMES[node.attr]
    else:
        node.id = NAMES[node.id]
    return ast.unparse(tree), node.lineno, before, ast.unparse(node)


def draw(count: int, seed: int) -> list[tuple[str, Path, int]]:
    """(room, file, node) of each fault: the rooms get equally many, their files by how many places they have."""
    drawn, rng = [], random.Random(seed)
    for number, (room, (pattern, _)) in enumerate(ROOMS.items()):
        folder, _, names = pattern.partition("/")
        files = (
            sorted((ROOT / "workflow/tli" / folder).glob("*.py"))
            if names == "*.py"
            else [ROOT / "workflow/tli" / folder / f"{name}.py" for name in names[1:-4].split(",")]
        )
        every = [(room, file, node) for file in files for node, _ in places(ast.parse(file.read_text(encoding="utf-8")))]
        share = count // len(ROOMS) + (number < count % len(ROOMS))
        drawn += rng.sample(every, share)
    return drawn


def survives(tree: Path, room: str, file: Path, changed: str) -> bool:
    """Whether the room's tests pass with the fault."""
    place = tree / file.relative_to(ROOT)
    kept = place.read_text(encoding="utf-8")
    place.write_text(changed, encoding="utf-8")
    tests = [str(path) for pattern in ROOMS[room][1].split() for path in sorted(tree.glob(pattern))]
    environment = {**os.environ, "PYTHONPATH": str(tree / "workflow"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        return subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=1800, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        place.write_text(kept, encoding="utf-8")


def main() -> None:
    """Plant, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", type=int, default=[], help="numbers of the faults to try again")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".venv", ".git", "results", ".site", "__pycache__", ".snakemake"))
        survivors, tried = [], 0
        for number, (room, file, node) in enumerate(draw(chosen.count, chosen.seed), 1):
            if chosen.only and number not in chosen.only:
                continue
            changed, line, before, after = planted(file.read_text(encoding="utf-8"), node)
            alive, tried = survives(tree, room, file, changed), tried + 1
            told = f"{number} {file.relative_to(ROOT / 'workflow/tli')}:{line}: {before} -> {after}"
            print(("SURVIVES " if alive else "caught   ") + told, flush=True)
            survivors += [told] if alive else []
        print(f"{tried - len(survivors)} of {tried} caught")


if __name__ == "__main__":
    main()
