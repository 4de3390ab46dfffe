"""The audit in words, for a terminal: `error`, `warning` and `info` lines."""

from __future__ import annotations

from typing import Any

import pandas as pd

FEWEST_HELDOUT = 60  # a split with fewer queries is underpowered
MUCH_ASIDE = 0.05  # a share of the list that the split leaves out
UNBALANCED = 0.25  # standardised difference of train and held-out
SHOWN = 120  # letters of a form or a reason
_ORDER = {"error": 0, "warning": 1, "info": 2}


def _short(value: Any) -> Any:
    """A text that fits into a line beside others."""
    return f"{value[:SHOWN]}..." if isinstance(value, str) and len(value) > SHOWN else value


def worst_first(lines: list[str]) -> list[str]:
    """`lines` with errors first, then warnings, else in their order."""
    return sorted(lines, key=lambda line: _ORDER[line.split(":")[0]])


def audit_lines(result: dict) -> list[str]:
    """The result of `audit` as lines that start with "error: ", "warning: " or "info: ", errors first."""
    figures, lines = result["figures"], []

    def say(severity: str, text: str) -> None:
        lines.append(f"{severity}: {text}")

    def some(table: pd.DataFrame, shape: str, most: int = 3) -> str:
        rows = [{name: _short(value) for name, value in row.items()} for row in table.head(most).to_dict("records")]
        shown = "; ".join(shape.format(**row) for row in rows)
        return shown + ("; ..." if len(table) > most else "")

    if not figures["pairs"]:
        say("error", "no pair is left")
    if figures["leaks"]:
        say("error", f"{figures['leaks']} form(s) leak across splits: " + some(result["leaks"], "{form!r} in {splits}"))
    if figures.get("leaks_between_lists"):
        say("error", f"{figures['leaks_between_lists']} pairs leak between lists: " + some(result["leaks_between_lists"], "{reason}"))
    if figures["identical_share"] > 0.5:
        say("error", f"{figures['identical_share']:.0%} of the sources equal their targets: both columns are one list")
    elif figures["identical_share"] > 0.1:
        say("warning", f"{figures['identical_share']:.0%} of the sources equal their targets")
    if figures["duplicates"]:
        say("warning", f"{figures['duplicates']} pairs repeat: " + some(result["duplicates"], "{source} = {target}"))
    if figures["repeated_anchors"]:
        say(
            "warning",
            f"{figures['repeated_anchors']} sources stand in several pairs (false negatives in a batch): "
            + some(result["repeated_anchors"], "{source} = {targets}"),
        )
    if figures["mixed_scripts"]:
        say("warning", f"{figures['mixed_scripts']} words mix scripts: " + some(result["mixed_scripts"], "{form} ({scripts})"))
    splits = result["splits"].set_index("split")["pairs"] if len(result["splits"]) else {}
    if len(splits) and splits.get("heldout", 0) < FEWEST_HELDOUT:
        say("warning", f"{splits.get('heldout', 0)} held-out pairs: below {FEWEST_HELDOUT} the split is underpowered")
    for row in result["balance"].itertuples():
        if abs(row.standardised) > UNBALANCED:
            say(
                "warning",
                f"train and held-out differ in {row.measure.replace('_', ' ')}: {row.train:.2f} against "
                f"{row.heldout:.2f} ({row.standardised:+.2f} sd)",
            )
        elif pd.isna(row.standardised) and row.difference > UNBALANCED:
            say("warning", f"train and held-out differ in their categories (total variation {row.difference:.2f})")
    say(
        "info",
        f"{figures['pairs']} pairs, {figures['translations']} accepted translations, {figures['sources']} sources, "
        f"{figures['targets']} target forms",
    )
    if figures["shared_translations"]:
        say(
            "info",
            f"{figures['shared_translations']} translations are shared by several sources (masked as false negatives): "
            + some(result["shared_translations"], "{target} ({sources})"),
        )
    say(
        "info",
        f"{figures['cognate_share']:.0%} cognates or loans (mean edit similarity {figures['cognate_mean']:.2f})"
        + (": " + some(result["cognates"], "{source} = {target}") if len(result["cognates"]) else ""),
    )
    say(
        "info",
        f"{figures['multi_word_pairs']} pairs with a multi-word side (source {figures['source_multi_word_share']:.0%}, "
        f"target {figures['target_multi_word_share']:.0%})",
    )
    categories = result["categories"][result["categories"]["category"] != ""]
    if len(categories):
        say("info", "categories: " + some(categories, "{category} {share:.0%}", 8))
    for row in result["tokens"].itertuples():
        if row.split == "all":
            say(
                "info",
                f"{row.side}: {row.mean:.1f} tokens a form (median {row.median:.0f}, at most {row.most}, "
                f"{row.single_token_share:.0%} in one token)",
            )
    if "shared_tokens_share" in figures:
        say("info", f"{figures['shared_tokens_share']:.0%} of the pairs share a token")
    if len(splits):
        say("info", "splits: " + some(result["splits"], "{split} {pairs} ({share:.0%})"))
        say("info", f"the largest component has {figures['largest_component']} pairs")
    if figures.get("strings_changed"):
        say("info", f"{figures['strings_changed']} strings changed by cleaning: " + some(result["changed"], "{reason} ({strings})", 6))
    if figures.get("strings_left") or figures.get("rows_left"):
        say(
            "info",
            f"strings verbatim (no NFC, nothing cleaned or merged): cleaning would change {figures['strings_left']} of them and "
            f"touch {figures['rows_left']} rows: " + some(result["left"], "{reason} ({strings})", 8),
        )
    if figures["set_aside"]:
        share = figures["set_aside"] / (figures["set_aside"] + figures["pairs"])
        severity = "warning" if share > MUCH_ASIDE else "info"
        say(severity, f"{figures['set_aside']} pairs ({share:.0%}) set aside by the split: " + some(result["aside"], "{reason}", 2))
    if len(result["dropped"]):
        say("info", f"{figures['rows_dropped']} rows dropped: " + some(result["dropped"], "{reason} ({rows})", 6))
    if figures.get("rows_merged"):
        say("info", f"{figures['rows_merged']} rows merged into a pair of the same source")
    return worst_first(lines)
