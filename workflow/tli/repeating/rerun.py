"""A pinned run repeated: digests first, then Snakemake, then the figures beside the published ones."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tli.config import load
from tli.config.reading import OWN_FOLDER
from tli.errors import TableError, TliError
from tli.experiment import Experiment, is_address
from tli.io import store, table_files, tables
from tli.io.place import assert_can_be_made
from tli.repeating.comparing import COMPARED, compare
from tli.repeating.inputs import ASKED, Pinned, digest, prepared
from tli.repeating.pinning import CONFIG, REPETITION
from tli.repeating.settings import PINNED, read_pinned


def is_pinned(folder: str | Path) -> bool:
    """Whether a folder is one that `pin` wrote."""
    return (Path(folder) / PINNED).is_file()


def assert_same_inputs(folder: Path) -> None:
    """Raises TliError where a list, text or model is not the one that was pinned, all of them in one message."""
    wrong = []
    for pinned in _pins(folder):
        place = _place(folder, pinned)
        if not place.exists():
            wrong.append(f"{place}: is not there; it is {pinned.what}, of digest {pinned.digest}: put it there")
        elif (found := digest(place)) != pinned.digest:
            mend = "take this workflow at the commit that README.md names" if pinned.is_shipped else "put the published one there"
            wrong.append(f"{place}: is not {pinned.what} of the published run: its digest is {found}, expected is {pinned.digest}; {mend}")
    if wrong:
        raise TliError("the run cannot be repeated:\n" + "\n".join(wrong))


def assert_same_words(folder: Path) -> None:
    """Lists of the disk are prepared and split as they were, or the figures would be of other words. Raises TliError."""
    with contextlib.chdir(folder):  # the places of the config are found from there
        experiment = Experiment(load(CONFIG))
        at_hand = [pair for pair in experiment.config.pairs if not any(map(is_address, experiment.lists(pair)))]
        # A list that is fetched, and one that is split beside it, are looked at when they are there.
        if len(at_hand) == len(experiment.config.pairs):
            for pair in at_hand:
                _assert_words(folder, pair, prepared(experiment, pair))


def repeat(folder: str | Path, profile: str = "") -> pd.DataFrame:
    """Run the pinned config in its folder and compare. Returns the comparison, columns COMPARED, written to comparison.tsv too.

    profile: Snakemake's; by default the workflow's own for one machine. Raises TliError where inputs differ or the run fails.
    """
    folder = Path(folder).resolve()
    assert_can_be_made(folder / REPETITION, "repeat")
    load(folder / CONFIG)  # a mistake in it is told before anything is looked at
    assert_same_inputs(folder)
    assert_same_words(folder)
    chosen = str(Path(profile).resolve()) if Path(profile).is_dir() and profile else profile or str(OWN_FOLDER / "profiles" / "local")
    words = ["--snakefile", str(OWN_FOLDER / "workflow" / "Snakefile"), "--profile", chosen, "--configfile", CONFIG]
    if subprocess.run([sys.executable, "-m", "snakemake", *words], cwd=folder, check=False).returncode:
        raise TliError(
            f"the repetition did not finish; the same command goes on from there. Its results and logs lie in {folder / REPETITION}"
        )
    for path in sorted((folder / REPETITION / "lexicon").glob("*/pairs.tsv")):
        _assert_words(folder, path.parent.name, table_files.read(path, tables.PAIRS)[ASKED].astype(str))
    found = compare(folder, folder / REPETITION)
    table_files.write(found, folder / "comparison.tsv", COMPARED)
    return found


def _assert_words(folder: Path, pair: str, words: pd.DataFrame) -> None:
    if store.digest_table(words) != read_pinned(folder)["words"].get(pair):
        raise TliError(
            f"{pair}: its list is prepared or split otherwise than in the published run, by another version of the workflow; take the commit "
            "that README.md names"
        )


def _pins(folder: Path) -> list[Pinned]:
    try:
        return [Pinned(**values) for values in read_pinned(folder)["pins"]]
    except TypeError as error:
        raise TableError(f"{folder / PINNED}: holds a pin that is none ({error}); take the published folder again") from None


def _place(folder: Path, pinned: Pinned) -> Path:
    """As the run will find it: the workflow's own resources count where the folder has none of that name."""
    lies = folder / pinned.place
    return OWN_FOLDER / pinned.place if pinned.is_shipped and not lies.exists() else lies
