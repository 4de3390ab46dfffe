"""summary.md: the first screen for a terminal or a pull request, and how numbers are written in both pages."""

from __future__ import annotations

import math


def text(context: dict) -> str:
    """The first screen as Markdown, from the context of the page."""
    lines = [f"# {_safe(context['title'])}", ""]
    if context["missing"]:
        lines += [f"**Partial report.** Missing ({len(context['missing'])}):", ""]
        lines += [f"- {_safe(item)}" for item in context["missing"][:20]]
        lines += [f"- and {len(context['missing']) - 20} more"] if len(context["missing"]) > 20 else []
        lines.append("")
    if context["demo"]:
        lines += ["**Demo model: no figure here is a claim about a real model.**", ""]
    if context["question"]:
        lines += [f"**Question.** {_safe(context['question'])}", ""]
    lines += [_safe(context["asked"]), "", "## What came out", ""]
    for row in context["verdicts"]:
        lines.append(f"- **{_safe(row['model'])}, {_safe(row['pair'])}** ({_safe(context['cell_name'](row))}): **{row['verdict']}.** "
                     f"{_safe(row['sentence'])}")  # fmt: skip
    if not context["verdicts"]:
        lines.append("- Nothing has been tested yet.")
    if context["verdicts"]:
        metric = context["label"](context["verdicts"][0]["metric"])
        lines += ["", f"{metric} on held-out pairs, 95 % intervals over seeds, of the cells named above (tables/verdicts.tsv has all):", ""]
        lines += ["| model | pair | before | after | after - before | real - placebo | adjusted p | seeds | pairs |",
                  "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
        lines += [
            f"| {_safe(r['model'])} | {_safe(r['pair'])} | {figures(r['before'])} | {figures(r['after'])} | "
            f"{signed(r['change'])} [{signed(r['change_low'])}, {signed(r['change_high'])}] | {signed(r['against_placebo'])} "
            f"[{signed(r['against_placebo_low'])}, {signed(r['against_placebo_high'])}] | {probability(r['p_family'])} | "
            f"{figures(r['seeds'])} | {figures(r['heldout_pairs'])} |"
            for r in context["verdicts"]
        ]
        lines += ["", "![The primary endpoint with its intervals](figures/primary.png)"]
    lines += ["", "## Can it be believed", ""]
    lines += [f"- {'**' + _safe(d['about']) + ':** ' if d['about'] else ''}{_safe(d['text'])}" for d in context["doubts"]]
    lines += [] if context["doubts"] else ["- No warning."]
    lines += ["", "## Details", "", "`index.html` has the figures, tables, methods and provenance; `tables/` the tables as TSV; "
              "`figures/` the figures as SVG and PNG."]  # fmt: skip
    commit = context["provenance"].get("commit")
    digest = context["provenance"].get("config_digest")
    if commit or digest:
        lines += ["", f"Commit {_safe(commit or 'unknown')}, config digest {_safe(digest or 'unknown')}."]
    return "\n".join(lines) + "\n"


def _safe(value) -> str:
    """Text that Markdown shows as it is."""
    text = " ".join(str(value).split())
    for character, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("*", "\\*"), ("_", "\\_"), ("`", "\\`")):
        text = text.replace(character, instead)
    return text


def figures(value, digits: int = 4) -> str:
    """A number for people: `digits` decimals, whole numbers whole, "–" where undefined."""
    if value is None or isinstance(value, str) and not value:
        return "–"
    number = float(value)
    if not math.isfinite(number):
        return "–"
    return f"{int(number):,}" if number.is_integer() and abs(number) < 1e15 else f"{number:.{digits}f}"


def signed(value, digits: int = 3) -> str:
    """A difference with its sign."""
    number = float("nan") if value is None else float(value)
    return f"{number:+.{digits}f}".replace("-", "\u2212") if math.isfinite(number) else "–"


def probability(p, log10_p=None) -> str:
    """A p value; where it is too small for a number, a power of ten from its logarithm."""
    number = float("nan") if p is None else float(p)
    if number == 0 and log10_p is not None and math.isfinite(float(log10_p)):
        return f"10^{float(log10_p):.0f}"
    return "–" if not math.isfinite(number) else f"{number:.3f}" if number >= 0.001 else f"{number:.2e}"


def duration(seconds) -> str:
    """Seconds as 45 s, 3 min 20 s or 2 h 5 min."""
    number = 0.0 if seconds is None else float(seconds)
    if not math.isfinite(number):
        return "–"
    if number < 60:
        return f"{number:.0f} s" if number >= 10 or number == 0 else f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
