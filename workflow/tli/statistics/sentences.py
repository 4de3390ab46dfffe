"""Verdicts in words: what a reader may take away, with the figures that it rests on."""

from __future__ import annotations

import math

NAMES = {
    "cosine": "cosine", "mismatched": "cosine of mismatched pairs", "gap": "gap", "z": "z", "p_at_1": "P@1", "p_at_5": "P@5",
    "mrr": "MRR", "p_at_1_reverse": "P@1 (target to source)", "p_at_5_reverse": "P@5 (target to source)",
    "mrr_reverse": "MRR (target to source)", "csls_p_at_1": "CSLS P@1", "csls_p_at_1_reverse": "CSLS P@1 (target to source)",
    "mexa": "MEXA", "margin_error": "margin error", "xcs": "xCS", "ref_xcs": "RefxCS", "cka": "linear CKA",
}  # fmt: skip
LEAST_QUERIES = 60


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


def verdict(row: dict, primary: str, minimum_seeds: int, alpha: float) -> str:
    """The sentence of one cell; row as verdicts.verdicts builds it, with its `verdict`."""
    parts = [OPENINGS[row["verdict"]](row, NAMES.get(primary, primary), minimum_seeds, alpha)]
    if row["verdict"] != "failed":
        parts.append(_figures(row, alpha))
    if row["verdict"] == "no detectable effect" and math.isfinite(row["detectable"]):
        parts.append(
            f"With {row['seeds']} seeds and a family of {row['family_size']}, a difference of {number(row['detectable'])} or more "
            "would have been found with 80 % power."
        )
    if row["placebo_seeds"] is None and row["verdict"] not in ("failed", "better than before, no placebo"):
        parts.append("The grid has no placebo for this arm: nothing beyond before and after can be claimed.")
    if 0 < row["heldout_pairs"] < LEAST_QUERIES:
        parts.append(f"Underpowered: {row['heldout_pairs']} held-out words, fewer than {LEAST_QUERIES}.")
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
    "failed": lambda row, name, minimum, alpha: f"The cell failed ({row['failed']}); nothing is claimed.",
    "too few seeds": _too_few,
    "worse": lambda row, name, minimum, alpha: f"{name} fell.",
    "aligns better": lambda row, name, minimum, alpha: f"{name} rose, and rose more than with shuffled translations.",
    "better than before, no placebo": lambda row, name, minimum, alpha: (
        f"{name} rose, but the grid has no placebo for this arm: that the true translations did it cannot be claimed."
    ),
    "better than placebo only because the placebo harms": lambda row, name, minimum, alpha: (
        f"{name} is higher than with shuffled translations, but only because those harm it "
        f"({signed(row['placebo_change']['estimate'])}); against before, no gain is shown."
    ),
    "memorised (train only)": lambda row, name, minimum, alpha: (
        f"{name} rose on the trained words ({signed(row['train_change']['estimate'])}), no gain is shown on held-out ones."
    ),
    "raised all cosines alike": _alike,
    "no detectable effect": _nothing,
}
