"""Lexicon: from a list as people have it to clean pairs in three splits, with a record of all that was changed or dropped."""

from __future__ import annotations

import pandas as pd

from tli import lexicon
from tli.experiment.job import LexiconJob
from tli.io import table_files, tables
from tli.log import say

CHANGES = ["file", "line", "action", "field", "before", "after", "reason"]


def run(job: LexiconJob) -> dict:
    """Read, clean, split (beside the lists before it that share a language) and audit; write pairs (tables.PAIRS), changes and audit (severity, text). Raises LexiconError."""
    pairs, aside, record = lexicon.prepare_union(job.lists)[job.pair]
    findings = lexicon.audit(pairs, changes=record, aside=aside, by=job.spec.split.by)
    lines = [tuple(line.split(": ", 1)) for line in lexicon.audit_lines(findings)]
    table_files.write(pairs[tables.PAIRS], job.outputs["pairs"], tables.PAIRS)
    set_aside = pd.DataFrame(
        {
            "action": "set aside",
            "field": "",
            "before": aside["source"] + " / " + aside["target"],
            "after": "",
            "reason": aside.get("reason", ""),
        }
    )
    table_files.write(pd.concat([record, set_aside]).reindex(columns=CHANGES), job.outputs["changes"], CHANGES)
    table_files.write(pd.DataFrame(lines, columns=["severity", "text"]), job.outputs["audit"], ["severity", "text"])
    counts = pairs["split"].value_counts()
    say(f"lexicon: {job.pair}: {len(pairs)} pairs: {', '.join(f'{counts.get(s, 0)} {s}' for s in ('train', 'select', 'heldout'))}")
    for severity, text in lines:
        say(f"  {severity}: {text}")
    return {}
