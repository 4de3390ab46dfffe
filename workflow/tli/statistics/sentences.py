"""Verdicts in words: what a reader may take away, with the figures that it rests on."""

from __future__ import annotations

import math

from tli import facts
from tli.facts import FEWEST_QUERIES
from tli.labels import metric_label
from tli.specs import StatisticsSpec
from tli.statistics.case import Case

SCOPE = "over other seeds and held-out words, with this training list"
HITS = ("p_at_1", "p_at_5", "csls_p_at_1", "mexa", "mrr")  # metrics that cannot rise above 1


def number(value: float) -> str:
    """A value with three decimals."""
    return f"{value:.3f}" if math.isfinite(value) else "not measured"


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.3f}" if math.isfinite(value) else "not measured"


def probability(p: float) -> str:
    """A p value."""
    if not math.isfinite(p):
        return "not measured"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def count(many: int, what: str) -> str:
    """As in "1 seed", "5 seeds"."""
    return f"{many} {what}{'' if many == 1 else 's'}"


def listing(items: list[str]) -> str:
    """As in "one", "one and two", "one, two and three"; "" of none."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def interval(test: dict, alpha: float) -> str:
    """As in "+0.314 (95 % interval +0.262 to +0.366)"; without an interval it says why there is none."""
    if not math.isfinite(test["estimate"]):
        return "not measured"
    if not math.isfinite(test["low"]):
        return f"{signed(test['estimate'])} (no interval: {test['note']})"
    return f"{signed(test['estimate'])} ({100 * (1 - alpha):g} % interval {signed(test['low'])} to {signed(test['high'])})"


def verdict(case: Case, unmeasured: str, spec: StatisticsSpec) -> str:
    """The sentences of one cell; case: case.Case, judged. unmeasured: which lines under it were not measured, "" where it did not rise."""
    name = metric_label(spec.primary)
    parts = [OPENINGS[case.verdict](case, name, spec)]
    parts.append(unmeasured)
    if case.verdict != facts.FAILED:
        parts.append(_figures(case, spec))
        parts += _asides(case, name, spec)
    if case.verdict == facts.NOTHING:
        parts.append(_detectable(case, name, spec))
    if case.about["also"]:
        names = ", ".join(f"{arm}, layer {layer}" for arm, layer in case.about["also"])
        parts.append(f"The same runs were also asked for as {names}; they are counted once.")
    return " ".join(part for part in parts if part)


def _figures(case: Case, spec: StatisticsSpec) -> str:
    means, counts, alpha = case.claim.means, case.claim.counts, spec.alpha
    text = f"Held-out, {case.claim.place}, {case.claim.pool} pool: {number(means.get('before', math.nan))} before, "
    text += f"{number(means.get('after', math.nan))} after"
    if case.about["placebo_seeds"]:
        text += f", {number(means['placebo'])} with the placebo; change {interval(case.test('change'), alpha)}, "
        text += f"against the placebo {interval(case.test('against_placebo'), alpha)}; adjusted p {probability(case.p_family)} "
        text += f"(the larger of both, family of {case.family_size})"
    else:
        text += f"; change {interval(case.test('change'), alpha)}; adjusted p {probability(case.p_family)} (family of {case.family_size})"
    folds = f" in {counts['folds']} folds" if counts.get("folds", 1) > 1 else ""
    text += f"; {count(counts.get('words', 0), 'word')} in {count(counts.get('units', 0), 'unit')}, {count(case.about['seeds'], 'seed')}{folds}. "
    return text + f"Intervals are {SCOPE}, not adjusted."


def _asides(case: Case, name: str, spec: StatisticsSpec) -> list[str]:
    """What a reader of the figures has to know beside them."""
    counts, parts = case.claim.counts, []
    other = case.test("p_at_1")["estimate"]
    change = case.test("change")["estimate"]
    if spec.primary == "csls_p_at_1" and math.isfinite(other):
        against = f", against the sign of {name}" if other * change < 0 else ""
        parts.append(f"P@1, without the correction for hubs, changed by {signed(other)}{against}.")
    if not case.has_placebo and case.verdict != facts.NO_PLACEBO:
        parts.append("The grid has no placebo for this arm: nothing beyond before and after can be claimed.")
    if case.has_placebo and 0 < case.about["placebo_seeds"] < case.about["seeds"]:
        parts.append(
            f"The placebo has {count(case.about['placebo_seeds'], 'seed')} of {case.about['seeds']}; figures against it are of those."
        )
    if counts.get("left_out"):
        parts.append(f"{count(counts['left_out'], 'word')} left out that some seed lacks.")
    if case.claim.pool != "untrained":
        parts.append("Trained forms are among the rivals, so training them can move this figure.")
    if 0 < counts.get("words", 0) < FEWEST_QUERIES:
        parts.append(f"Underpowered: {counts['words']} held-out words, fewer than {FEWEST_QUERIES}.")
    return parts


def _detectable(case: Case, name: str, spec: StatisticsSpec) -> str:
    design = f"With {count(case.about['seeds'], 'seed')}, {count(case.claim.counts.get('units', 0), 'unit')} and a family of {case.family_size}, "
    if not math.isfinite(case.detectable):
        return ""
    room = 1 - case.claim.means.get("before", math.nan) if spec.primary in HITS else math.inf
    if case.detectable > room:
        return design + f"no rise of {name} that is possible would have been found with {100 * facts.POWER:.0f} % power."
    return design + f"a rise of {number(case.detectable)} or more would have been found with {100 * facts.POWER:.0f} % power."


def _too_few(case: Case, name: str, spec: StatisticsSpec) -> str:
    counts = f"{count(case.about['seeds'], 'seed')}, {count(case.claim.counts.get('units', 0), 'unit')} of held-out words"
    if case.has_placebo:
        counts += f", {count(case.about['placebo_seeds'], 'seed')} with a placebo"
    return f"No claim: {counts}; a claim needs at least {spec.minimum_seeds} seeds and {spec.minimum_units} units."


def _like_placebo(case: Case, name: str, spec: StatisticsSpec) -> str:
    against = case.test("against_placebo")
    text = f"{name} rose; that it rose more than with shuffled translations is not shown"
    if math.isfinite(against["high"]):
        text += f" (by up to {signed(against['high'])} it may have)"
    return text + ": no effect of the true translations is claimed."


def _memorised(case: Case, name: str, spec: StatisticsSpec) -> str:
    return (
        f"{name} rose on the trained words ({signed(case.test('train_change')['estimate'])}), and by more than on held-out ones, "
        "on which no rise is shown."
    )


def _alike(case: Case, name: str, spec: StatisticsSpec) -> str:
    means = case.claim.means
    return (
        f"All cosines rose alike: translations {number(means['cosine_before'])} to {number(means['cosine_after'])}, mismatched pairs "
        f"{number(means['mismatched_before'])} to {number(means['mismatched_after'])}; their difference changed by less than "
        f"{spec.alike_margin:g} (TOST, adjusted p {probability(case.gap_same)})."
    )


def _nothing(case: Case, name: str, spec: StatisticsSpec) -> str:
    change = case.test("change")
    if change["estimate"] < 0 and change["p"] <= spec.alpha < case.adjusted.get("change", math.nan):
        return f"{name} fell, but not after correction (p {probability(change['p'])}, adjusted {probability(case.adjusted['change'])})."
    if change["estimate"] > 0 and change["p"] <= spec.alpha:
        return (
            f"{name} rose (p {probability(change['p'])}), but neither after correction nor detectably more than with shuffled translations."
        )
    return f"No change of {name} is shown."


def _harms(case: Case, name: str, spec: StatisticsSpec) -> str:
    harm = signed(case.test("placebo_change")["estimate"])
    return f"{name} is higher than with shuffled translations, but only because those harm it ({harm}); against before, no gain is shown."


OPENINGS = {
    facts.FAILED: lambda case, name, spec: f"The cell failed ({case.about['failed']}); nothing is claimed.",
    facts.TOO_FEW: _too_few,
    facts.WORSE: lambda case, name, spec: f"{name} fell.",
    facts.BETTER: lambda case, name, spec: f"{name} rose, and rose more than with shuffled translations.",
    facts.UNCORRECTED: lambda case, name, spec: (
        f"{name} rose, but among {case.family_size} claims that may be chance: no claim is left after correction."
    ),
    facts.NO_PLACEBO: lambda case, name, spec: (
        f"{name} rose, but the grid has no placebo for this arm: that the true translations did it cannot be claimed."
    ),
    facts.PLACEBO_HARMS: _harms,
    facts.BELOW_PLACEBO: lambda case, name, spec: f"{name} is lower than with shuffled translations.",
    facts.LIKE_PLACEBO: _like_placebo,
    facts.MEMORISED: _memorised,
    facts.ALIKE: _alike,
    facts.NOTHING: _nothing,
}
