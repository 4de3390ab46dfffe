"""The commands `tli repeat`, `tli compare` and `tli crate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_repeating(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to the command line; `add` makes a command of a name, a function and a text."""
    text = "Write a folder from which somebody else repeats a run (RESULTS --output DIR), or repeat the run of such a folder (DIR)."
    repeat = add("repeat", _repeat, text, config=False)
    repeat.add_argument("folder", help="the results of a run, or a folder that this command wrote")
    repeat.add_argument("--output", default="", help="the folder to write, for results")
    repeat.add_argument("--with-lists", action="store_true", help="copy the word lists and texts into it; mind their licences")
    repeat.add_argument("--profile", default="", help="Snakemake's profile for the repetition; by default profiles/local")
    crate = add(
        "crate", _crate, "Write a run as a Workflow Run RO-Crate: workflow, inputs' digests, results, times, software.", config=False
    )
    crate.add_argument("results", help="the results of a run")
    crate.add_argument("--output", required=True, help="the folder to write")
    crate.add_argument("--with-lists", action="store_true", help="copy the word lists and texts into it; mind their licences")
    crate.add_argument("--author", action="append", default=[], metavar="NAME", help="who made the run; may be repeated")
    crate.add_argument("--orcid", action="append", default=[], metavar="ID", help="the ORCID iD of each --author, in their order")
    crate.add_argument("--affiliation", default="", metavar="NAME[=ADDRESS]", help="the organisation of the authors")
    crate.add_argument("--publisher", default="", metavar="NAME[=ADDRESS]", help="the organisation that publishes the crate")
    crate.add_argument("--license", default="", help="the licence of results and report, by its SPDX identifier, as CC-BY-4.0")
    crate.add_argument("--workflow-url", default="", metavar="ADDRESS", help="where this workflow is published")
    compare = add("compare", _compare, "Hold the figures of two results folders against each other and their intervals.", config=False)
    compare.add_argument("first", help="a results folder")
    compare.add_argument("second", help="another, of the same experiment")
    compare.add_argument("--output", default="", help="a TSV file for every figure")
    compare.epilog = "Exit status: 0 where all agree, 1 where a figure lies beyond the intervals, a verdict differs or a cell is missing, 2 for wrong use."


def _repeat(chosen: argparse.Namespace) -> int:
    from tli.errors import TliError
    from tli.repeating.comparing import agree, summary_lines
    from tli.repeating.pinning import REPETITION, pin
    from tli.repeating.rerun import is_pinned, repeat
    from tli.repeating.settings import differences_of_settings

    if is_pinned(chosen.folder):
        if chosen.output:
            raise TliError(f"{chosen.folder} is written already; to repeat its run leave --output out")
        found = repeat(chosen.folder, chosen.profile)
        print("\n".join(summary_lines(found, differences_of_settings(chosen.folder, f"{chosen.folder}/{REPETITION}"))))
        print(f"every figure: {chosen.folder}/comparison.tsv")
        return 0 if agree(found) else 1
    if not chosen.output:
        raise TliError(f"{chosen.folder} is no folder that `tli repeat` wrote; of a run's results it makes one: --output DIR")
    pins = pin(chosen.folder, chosen.output, chosen.with_lists)
    print(
        f"{chosen.output}: {len(list(pins))} lists, texts and models pinned; whoever has it and this workflow repeats the run: tli repeat {chosen.output}"
    )
    for one in pins:
        if one.is_to_be_brought:
            print(f"not in it: {one.what}; its README says where to put it")
    return 0


def _compare(chosen: argparse.Namespace) -> int:
    from tli.io import table_files
    from tli.io.place import assert_can_be_made
    from tli.repeating.comparing import COMPARED, agree, compare, summary_lines
    from tli.repeating.settings import differences_of_settings

    if chosen.output:
        assert_can_be_made(chosen.output)
    found = compare(chosen.first, chosen.second)
    print("\n".join(summary_lines(found, differences_of_settings(chosen.first, chosen.second))))
    if chosen.output:
        table_files.write(found, chosen.output, COMPARED)
    return 0 if agree(found) else 1


def _crate(chosen: argparse.Namespace) -> int:
    from tli.repeating.crate import write_crate
    from tli.repeating.credits import Credits

    named = {"--affiliation": chosen.affiliation, "--publisher": chosen.publisher}
    given = Credits.of(chosen.author, chosen.orcid, named | {"--license": chosen.license, "--workflow-url": chosen.workflow_url})
    count = write_crate(chosen.results, chosen.output, chosen.with_lists, given)
    print(
        f"{chosen.output}/ro-crate-metadata.json describes the workflow, its inputs and {count} files of results; `tli repeat {chosen.output}` repeats it"
    )
    return 0
