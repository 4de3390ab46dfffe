"""A pinned run repeated: digests first, then Snakemake, then the figures beside the published ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

from tli.config import load
from tli.errors import TliError
from tli.io import tables
from tli.io.records import read_json
from tli.repeating.comparing import COMPARED, compare_figures
from tli.repeating.figures import figures_of
from tli.repeating.pinning import CONFIG, FIGURES, OWN, PINNED, Pinned, digest

WORKFLOW = Path(__file__).parents[2]


def is_pinned(folder: str | Path) -> bool:
    """Whether a folder is one that `pin` wrote."""
    return (Path(folder) / PINNED).is_file()


def assert_same_inputs(folder: Path) -> None:
    """Raises TliError where a list, text or model is not the one that was pinned, all of them in one message."""
    wrong = []
    for values in read_json(folder / PINNED, "what the run read; the folder is not whole")["pins"]:
        pinned = Pinned(**values)
        place = _place(folder, pinned.place)
        if not place.exists():
            wrong.append(f"{place}: is not there; it is {pinned.what}, of digest {pinned.digest}: put it there")
        elif (found := digest(place)) != pinned.digest:
            wrong.append(
                f"{place}: is not {pinned.what} of the published run: its digest is {found}, it was {pinned.digest}; take the same one"
            )
    if wrong:
        raise TliError("the run cannot be repeated:\n" + "\n".join(wrong))


def repeat(folder: str | Path, profile: str = "") -> pd.DataFrame:
    """Run the pinned config in its folder and compare. Returns the comparison, columns COMPARED, written to comparison.tsv too.

    profile: Snakemake's; by default the workflow's own for one machine. Raises TliError where inputs differ or the run fails.
    """
    folder = Path(folder).resolve()
    load(folder / CONFIG)  # a mistake in it is told before anything is looked at
    assert_same_inputs(folder)
    words = ["--snakefile", str(WORKFLOW / "Snakefile"), "--profile", profile or str(WORKFLOW.parent / "profiles" / "local")]
    command = [sys.executable, "-m", "snakemake", *words, "--configfile", CONFIG]
    if subprocess.run(command, cwd=folder, check=False).returncode:
        raise TliError(
            f"the repetition did not finish; the same command goes on from there. Its results and logs lie in {folder / 'results'}"
        )
    _assert_same_pairs(folder)
    found = compare_figures(pd.read_parquet(folder / FIGURES), figures_of(folder / "results"))
    tables.write(found, folder / "comparison.tsv", COMPARED)
    return found


def _assert_same_pairs(folder: Path) -> None:
    """The lists must have been prepared and split as they were, or the figures are of other words."""
    for pair, then in read_json(folder / PINNED, "what the run read")["pairs"].items():
        if digest(folder / "results" / "lexicon" / pair / "pairs.tsv") != then:
            raise TliError(
                f"{pair}: its list was prepared or split otherwise than then (another version of the workflow?); take the commit of README.md"
            )


def _place(folder: Path, place: str) -> Path:
    own = WORKFLOW.parent / place
    return own if place.startswith(OWN) and own.exists() else folder / place
