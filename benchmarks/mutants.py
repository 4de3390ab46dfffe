"""Faults planted into the pure rooms, one at a time, and whether their tests notice (mutation analysis).

    python benchmarks/mutants.py [--seed 1] [--count 40] [--again]

A fault turns one operator, constant or name around (faults.py): < and <=, + and -, and and or, min and max, 1 and 2, a `not` gone. Which
places are taken is drawn with a seed: each room gives equally many, its files by how many places they have. Each fault is planted in a copy
of the tree, and the room's tests run until one fails: first those that enter the function with the fault, the quickest first, then the
others of their files; none runs twice. Which test enters what, and how long it takes, is measured once (reach.py); there all must pass.

A fault that changes nothing anybody can see is no fault. equivalent_faults.tsv names those, each with the reason; the next one drawn takes
its place. Every fault tried is a row of results/mutants.tsv, from which docs/mutation.md is made; what stands there is not tried again
(--again tries the survivors anew, say after a test was added; `at_first` keeps what happened before).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from common import RESULTS, ROOT, machine
from faults import Fault, places, plant

PACKAGE = ROOT / "workflow" / "tli"
EQUIVALENT = ROOT / "benchmarks" / "equivalent_faults.tsv"
CACHE = ROOT / "benchmarks" / "scratch" / "reach.json"
LOADED = [
    "pandas",
    "scipy.stats",
    "scipy.optimize",
    "scipy.sparse.csgraph",
    "statsmodels.stats.multitest",
    "sklearn.decomposition",
    "hypothesis",
]
NAMED = ["file", "scope", "code", "at", "before", "after"]
COLUMNS = ["seed", "number", "room", *NAMED, "kind", "at_first", "outcome", "by", "how", "error", "tests", "seconds"]
ROOMS = {  # files of the package -> the tests that hold them
    "metrics": (["metrics/*.py"], ["test_metrics*.py", "test_select_maps.py", "test_own_word.py", "test_pairing.py"]),
    "statistics": (["statistics/*.py"], ["test_statistics*.py", "test_harm_planted.py", "test_recomputed.py"]),
    "splits": (
        [f"lexicon/{name}.py" for name in ("split", "assign", "components", "folds", "placement", "sizes", "merging")],
        ["test_lexicon_split*.py", "test_lexicon_folds*.py", "test_lexicon_union.py", "test_lexicon_clean.py"],
    ),
}


def drawn(seed: int) -> dict[str, Iterator[tuple[str, Fault]]]:
    """Room -> every one of its faults, (file, fault), in the order in which they are drawn."""
    rng = random.Random(seed)

    def of(room: str) -> Iterator[tuple[str, Fault]]:
        files = sorted(file for pattern in ROOMS[room][0] for file in PACKAGE.glob(pattern))
        every = [(file, number) for file in files for number, _ in places(file.read_text(encoding="utf-8"))]
        seen = set()
        for file, number in rng.sample(every, len(every)):
            one = file.relative_to(PACKAGE).as_posix(), plant(file.read_text(encoding="utf-8"), number)
            if named(*one) not in seen:  # a function may have a line twice
                yield one
            seen.add(named(*one))

    return {room: of(room) for room in ROOMS}


def named(file: str, fault: Fault) -> tuple[str, ...]:
    return file, *fault.identity


def read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# ")]
    return list(csv.DictReader(lines, delimiter="\t"))


def equivalent() -> dict[tuple[str, ...], str]:
    """What a fault is called by -> why it changes nothing."""
    return {tuple(row[name] for name in NAMED): row["reason"] for row in read(EQUIVALENT)}


class Tests:
    """A copy of the tree, its tests, and which functions each of them enters."""

    def __init__(self, tree: Path, only: list[str]):
        self.tree, self.place = tree, tree / ".reach"
        skipped = shutil.ignore_patterns(".venv", ".git", "results", ".site", "__pycache__", ".snakemake", ".hypothesis", "scratch")
        shutil.copytree(ROOT, tree, ignore=skipped)
        self.place.mkdir()
        self.only, self.known = set(only), {}
        if not only:
            self.known = self._measured()
        elif (told := self.run(only, {"tests": {}, "known": []}))["status"] != 0:
            raise SystemExit(f"{told['by'] or 'pytest'} fails without any fault")

    def run(self, files: list[str], asked: dict) -> dict:
        """What reach.py told of a run of pytest over `files`."""
        (self.place / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
        (self.place / "told.json").unlink(missing_ok=True)
        shutil.rmtree(self.tree / ".hypothesis", ignore_errors=True)  # no example that failed with another fault
        child = os.fork()  # the libraries are loaded once, and nothing of the package is
        if not child:
            self._pytest(files)
        _wait(child, None if "package" in asked else 300 + 3 * sum(asked["tests"].values()))
        shown = (self.place / "shown.txt").read_text(encoding="utf-8")[-4000:]
        if not (self.place / "told.json").exists():
            raise SystemExit(f"pytest did not end as it should:\n{shown}")
        told = json.loads((self.place / "told.json").read_text(encoding="utf-8"))
        if "package" in asked and told["status"] != 0:
            raise SystemExit(f"{told['by'] or 'pytest'} fails without any fault:\n{shown}")
        return told

    def _pytest(self, files: list[str]) -> NoReturn:
        """In the child: pytest in the copy, with the copy's package and with none of what this file is about."""
        shown = os.open(self.place / "shown.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(shown, 1)
        os.dup2(shown, 2)
        os.setpgid(0, 0)
        os.chdir(self.tree)
        ours = [str(self.tree / name) for name in ("workflow", "benchmarks")]
        os.environ |= {"PYTHONPATH": os.pathsep.join(ours), "OMP_NUM_THREADS": "1", "REACH": str(self.place)}
        inside = str(ROOT / "benchmarks"), str(ROOT / "workflow")
        sys.path[:] = [*ours, *(path for path in sys.path if path not in inside)]
        for name in ("common", "faults"):
            sys.modules.pop(name, None)
        try:
            pytest.main(["-q", "-x", "-p", "reach", "-p", "no:cacheprovider", "--hypothesis-seed=1", *files])
        finally:
            sys.stdout.flush()
            os._exit(0)  # what it found stands in told.json

    def files(self, room: str) -> list[str]:
        folder = self.tree / "tests" / "unit"
        found = {str(path.relative_to(self.tree)) for pattern in ROOMS[room][1] for path in folder.glob(pattern)}
        return sorted(found & self.only if self.only else found)

    def _measured(self) -> dict[str, dict]:
        """Node id -> seconds and functions; measured anew where a test file or anything of the package changed."""
        kept = json.loads(CACHE.read_text(encoding="utf-8")) if CACHE.exists() else {}
        package, known, measured = digest(sorted(PACKAGE.rglob("*.py"))), {}, {}
        for file in dict.fromkeys(file for room in ROOMS for file in self.files(room)):
            key = package + digest([self.tree / file])
            if kept.get(file, {}).get("key") != key:
                print(f"measuring {file}", flush=True)
                kept[file] = {"key": key, "tests": self.run([file], {"package": str(self.tree / "workflow" / "tli")})["tests"]}
            measured[file] = kept[file]
            known |= kept[file]["tests"]
            CACHE.parent.mkdir(parents=True, exist_ok=True)
            CACHE.write_text(json.dumps(kept), encoding="utf-8")
        return known

    def noticed(self, room: str, file: str, fault: Fault, budget: float) -> dict:
        """Which test of the room fails with the fault, and how: by, how, error ("" if none does), tests run, seconds."""
        place, began = self.tree / "workflow" / "tli" / file, time.perf_counter()
        kept = place.read_text(encoding="utf-8")
        place.write_text(fault.source, encoding="utf-8")
        ran, told = 0, {"by": "", "how": "", "error": ""}
        try:
            if self.only and self.files(room):
                told = self.run(self.files(room), {"tests": {}, "known": []})
                ran = told["ran"]
            for tests in self._in_turn(room, file, fault.scope):
                taken = np.cumsum(list(tests.values()))
                tests = dict(zip(tests, [seconds for seconds, sum_of in zip(tests.values(), taken) if sum_of <= budget]))
                budget -= sum(tests.values())
                if tests and not told["by"]:
                    told = self.run(sorted({name.partition("::")[0] for name in tests}), {"tests": tests, "known": list(self.known)})
                    ran += told["ran"]
        except TimeoutError:
            told = {"by": f"{room}: all tests", "how": "time", "error": "TimeoutError"}
        finally:
            place.write_text(kept, encoding="utf-8")
        return {name: told[name] for name in ("by", "how", "error")} | {"tests": ran, "seconds": round(time.perf_counter() - began, 1)}

    def _in_turn(self, room: str, file: str, scope: str) -> list[dict[str, float]]:
        """The room's tests that enter the function (any of the file, where the fault is in none), then their files' others; quickest first."""
        files, wanted = set(self.files(room)), f"{file}:{scope}"
        seconds = {name: one["seconds"] for name, one in self.known.items() if name.partition("::")[0] in files}
        ordered = dict(sorted(seconds.items(), key=lambda item: item[1]))
        enter = {
            name for name in ordered if any(one == wanted or not scope and one.startswith(wanted) for one in self.known[name]["functions"])
        }
        near = {name.partition("::")[0] for name in enter}  # a fixture or a cache may have entered it for them
        others = {name for name in ordered if name.partition("::")[0] in near} - enter
        return [{name: ordered[name] for name in ordered if name in group} for group in (enter, others)]


def _wait(child: int, limit: float | None) -> None:
    """Wait for a child; TimeoutError, and an end of it and its own, after `limit` seconds."""
    began = time.perf_counter()
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if limit is not None and time.perf_counter() - began > limit:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError
        time.sleep(0.05)


def digest(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def write(rows: list[dict]) -> None:
    """The table of all faults tried so far."""
    with (RESULTS / "mutants.tsv").open("w", encoding="utf-8", newline="") as stream:
        stream.write(f"# {time.strftime('%Y-%m-%d')}, {machine()}\n")
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (int(row["seed"]), int(row["number"]))))


def tried(tests: Tests, seed: int, count: int, again: bool, budget: float) -> list[dict]:
    """The rows of a seed: those that stand in the table, and those of faults tried now."""
    others = [row for row in read(RESULTS / "mutants.tsv") if int(row["seed"]) != seed]
    before = {tuple(row[name] for name in NAMED): row for row in read(RESULTS / "mutants.tsv") if int(row["seed"]) == seed}
    same, rows, number = equivalent(), [], 0
    for place, (room, faults) in enumerate(drawn(seed).items()):
        share = count // len(ROOMS) + (place < count % len(ROOMS))
        while share:
            file, fault = next(faults)
            if named(file, fault) in same:
                continue
            share, number = share - 1, number + 1
            row = before.get(named(file, fault))
            if row is None or again and row["outcome"] == "survives":
                told = tests.noticed(room, file, fault, budget)
                outcome = "caught" if told["by"] else "survives"
                row = dict(zip(NAMED, named(file, fault))) | {"at_first": row["at_first"] if row else outcome, "outcome": outcome} | told
            rows.append(row | {"seed": seed, "number": number, "room": room, "kind": fault.kind})
            by = f" ({row['by']}: {row['error']}, {row['tests']} tests, {row['seconds']} s)" if row["by"] else ""
            print(f"{number:3} {row['outcome']:8} {file}:{fault.line} [{fault.code}] {fault.before} -> {fault.after}{by}", flush=True)
            write(others + rows + [old for key, old in before.items() if key not in {tuple(r[n] for n in NAMED) for r in rows}])
    write(others + rows)
    return rows


def main() -> None:
    """Plant, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="try the survivors of before again")
    parser.add_argument(
        "--budget", type=float, default=np.inf, help="seconds (as timed) of a fault's tests, the quickest first; the rest are not run"
    )
    parser.add_argument("--tests", nargs="*", default=[], help="only these test files, say those just written, whole and in their order")
    chosen = parser.parse_args()
    for name in LOADED:
        import_module(name)
    with tempfile.TemporaryDirectory() as scratch:
        rows = tried(Tests(Path(scratch) / "tree", chosen.tests), chosen.seed, chosen.count, chosen.again, chosen.budget)
    print(f"{sum(row['outcome'] == 'caught' for row in rows)} of {len(rows)} caught")


if __name__ == "__main__":
    main()
