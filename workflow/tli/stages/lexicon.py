"""Lexicon: from a list as people have it to clean pairs in three splits, with a record of all that was changed or dropped."""

from __future__ import annotations

import pandas as pd

from tli import lexicon, tables
from tli.stages.running import say

CHANGES = ["file", "line", "action", "field", "before", "after", "reason"]


def prepare(
    *,
    pair: str,
    files: list[str],
    format: str,
    columns,
    options: dict,
    merge: bool,
    splits: list[str] | None,
    split: dict,
    output: str,
    changes: str,
    audit: str,
) -> None:
    """Read, clean, split and audit; write pairs.tsv (tables.PAIRS), changes.tsv and audit.tsv (severity, text).

    Raises lexicon.LexiconError with file, line, reason and mend; a leak between given splits is one unless split["leaks"]
    is "report".
    """
    source, target = pair.split("-")
    raw = lexicon.read(files, format=format, columns=columns, source_language=source, target_language=target, **options)
    if splits:
        raw["split"] = raw["file"].map(dict(zip(map(str, files), splits, strict=True)))
    cleaned, record = lexicon.clean(raw, merge=merge)
    pairs, aside = lexicon.split(
        cleaned,
        shares=split["shares"],
        sizes=split["sizes"],
        by=split["by"],
        heldout_categories=split["heldout_categories"],
        leaks=split["leaks"],
    )
    found = lexicon.audit(pairs, changes=record, by=split["by"])
    lines = [tuple(line.split(": ", 1)) for line in lexicon.audit_lines(found)]
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
    tables.write(pd.concat([record, set_aside]).reindex(columns=CHANGES), changes, CHANGES)
    tables.write(pd.DataFrame(lines, columns=["severity", "text"]), audit, ["severity", "text"])
    counts = pairs["split"].value_counts()
    say(f"lexicon: {pair}: {len(pairs)} pairs: {', '.join(f'{counts.get(s, 0)} {s}' for s in ('train', 'select', 'heldout'))}")
    for severity, text in lines:
        say(f"  {severity}: {text}")
