"""Lists: every list of the experiment held against the others, before their words are believed."""

from __future__ import annotations

from tli.experiment.job import ListsJob
from tli.experiment.listed import compared
from tli.io import table_files, tables
from tli.log import say


def run(job: ListsJob) -> dict:
    """Write what speaks against the lists' names (tables.LISTS), a line each in the log too."""
    found = compared(job.experiment)
    table_files.write(found, job.outputs["lists"], tables.LISTS)
    say(f"lists: {len(job.experiment.config.pairs)} held against each other: {len(found) or 'no'} finding{'' if len(found) == 1 else 's'}")
    for severity, text in found[["severity", "text"]].itertuples(index=False):
        say(f"  {severity}: {text}")
    return {}
