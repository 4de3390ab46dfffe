"""Lexicon: from a list as people have it to clean pairs in three splits, with a record of all that was changed or dropped."""

from __future__ import annotations

import pandas as pd

from tli import lexicon
from tli.io import tables
from tli.log import say
from tli.specs import LexiconSpec


def prepare(*, pair: str, files: list[str], spec: LexiconSpec, output: str, changes: str, audit: str) -> None:
    """Read, clean, split and audit; write pairs.tsv (tables.PAIRS), changes.tsv and audit.tsv (severity, text).

    The arguments and errors are those of tli.lexicon.prepare.
    """
    pairs, aside, record = lexicon.prepare(files, pair, spec)
    result = lexicon.audit(pairs, changes=record, by=spec.split.by)
    lines = [tuple(line.split(": ", 1)) for line in lexicon.audit_lines(result)]
    tables.write(pairs[tables.PAIRS], output, tables.PAIRS)
    set_aside = pd.DataFrame(
        {
            "action": "set aside",
            "field": "",
            "before": aside["source"] + " / " + aside["target"],
            "after": "",
            "reason": aside.get("reason", ""),
        }
    )
    columns = ["file", "line", "action", "field", "before", "after", "reason"]
    tables.write(pd.concat([record, set_aside]).reindex(columns=columns), changes, columns)
    tables.write(pd.DataFrame(lines, columns=["severity", "text"]), audit, ["severity", "text"])
    counts = pairs["split"].value_counts()
    say(f"lexicon: {pair}: {len(pairs)} pairs: {', '.join(f'{counts.get(s, 0)} {s}' for s in ('train', 'select', 'heldout'))}")
    for severity, text in lines:
        say(f"  {severity}: {text}")
