"""Verdicts in words: what a reader may take away, with the figures that it rests on."""

from __future__ import annotations

import math

from tli import facts
from tli.facts import FEWEST_QUERIES
from tli.labels import metric_label
from tli.specs import StatisticsSpec


def number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "undefined"


def signed(value: float) -> str:
    return f"{value:+.3f}" if math.isfinite(value) else "undefined"


def probability(p: float) -> str:
    if not math.isfinite(p):
        return "undefined"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def count(seeds: int) -> str:
    return f"{seeds} seed{'' if seeds == 1 else 's'}"


def verdict(row: dict, spec: StatisticsSpec) -> str:
    """The sentence of one cell; row as verdicts.verdicts builds it, with its `verdict`."""
    parts = [OPENINGS[row["verdict"]](row, metric_label(spec.primary), spec.minimum_seeds, spec.alpha)]
    if row["verdict"] != facts.FAILED:
        parts.append(_figures(row, spec.alpha))
    if row["verdict"] == facts.NOTHING and math.isfinite(row["detectable"]):
        parts.append(
            f"With {row['seeds']} seeds and a family of {row['family_size']}, a difference of {number(row['detectable'])} or more "
            "would have been found with 80 % power."
        )
    if row["placebo_seeds"] is None and row["verdict"] not in (facts.FAILED, facts.NO_PLACEBO):
        parts.append("The grid has no placebo for this arm: nothing beyond before and after can be claimed.")
    if 0 < row["heldout_pairs"] < FEWEST_QUERIES:
        parts.append(f"Underpowered: {row['heldout_pairs']} held-out words, fewer than {FEWEST_QUERIES}.")
    if row["also"]:
        names = ", ".join(f"{arm}, layer {layer}" for arm, layer in row["also"])
        parts.append(f"The same runs were also asked for as {names}; they are counted once.")
    return " ".join(parts)


def _figures(row: dict, alpha: float) -> str:
    level = f"{100 * (1 - alpha):g} %"

    def contrast(label, one):
        if one["sd"] == 0:
            return f"{label} {signed(one['estimate'])} in every seed, so no test over seeds is defined"
        if not math.isfinite(one["p"]):
            return f"{label} {signed(one['estimate'])}, test undefined"
        return f"{label} {signed(one['estimate'])} ({level} interval {signed(one['low'])} to {signed(one['high'])})"

    text = f"Held-out, {row['place']}: {number(row['before'])} before, {number(row['after'])} after"
    if row["placebo_seeds"]:
        text += f", {number(row['placebo'])} with the placebo; {contrast('change', row['change'])}, "
        text += f"{contrast('against the placebo', row['against_placebo'])}; adjusted p {probability(row['p_family'])} "
        text += f"(the larger of both, family of {row['family_size']})"
    else:
        text += f"; {contrast('change', row['change'])}; adjusted p {probability(row['change']['adjusted'] if math.isfinite(row['change']['p']) else math.nan)}"
    return text + f"; {row['heldout_pairs']} words, {count(row['seeds'])}."


def _too_few(row, name, minimum, alpha):
    counts = count(row["seeds"]) if row["placebo_seeds"] is None else f"{count(row['seeds'])}, {row['placebo_seeds']} with a placebo"
    return f"No claim: {counts}, and a claim needs at least {minimum}."


def _nothing(row, name, minimum, alpha):
    change, against = row["change"], row["against_placebo"]
    if change["sd"] == 0 and change["estimate"]:
        return f"No effect can be claimed: {name} changed by the same amount in every seed, which leaves no variance to test against."
    if change["estimate"] > 0 and change["adjusted"] <= alpha and math.isfinite(change["p"]):
        return (
            f"{name} rose, but not detectably more than with shuffled translations: no effect of the true translations is shown."
            if against["sd"] != 0
            else f"{name} rose, but differs from the placebo by the same amount in every seed, which leaves no test."
        )
    return f"No change of {name} is shown."


def _alike(row, name, minimum, alpha):
    return (
        f"All cosines rose alike: translations {number(row['cosine_before'])} to {number(row['cosine_after'])}, mismatched pairs "
        f"{number(row['mismatched_before'])} to {number(row['mismatched_after'])}; retrieval ({name}) shows no gain."
    )


OPENINGS = {
    facts.FAILED: lambda row, name, minimum, alpha: f"The cell failed ({row['failed']}); nothing is claimed.",
    facts.TOO_FEW: _too_few,
    facts.WORSE: lambda row, name, minimum, alpha: f"{name} fell.",
    facts.BETTER: lambda row, name, minimum, alpha: f"{name} rose, and rose more than with shuffled translations.",
    facts.NO_PLACEBO: lambda row, name, minimum, alpha: (
        f"{name} rose, but the grid has no placebo for this arm: that the true translations did it cannot be claimed."
    ),
    facts.PLACEBO_HARMS: lambda row, name, minimum, alpha: (
        f"{name} is higher than with shuffled translations, but only because those harm it "
        f"({signed(row['placebo_change']['estimate'])}); against before, no gain is shown."
    ),
    facts.MEMORISED: lambda row, name, minimum, alpha: (
        f"{name} rose on the trained words ({signed(row['train_change']['estimate'])}), no gain is shown on held-out ones."
    ),
    facts.ALIKE: _alike,
    facts.NOTHING: _nothing,
}
