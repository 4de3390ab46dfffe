"""summary.md: the first screen for a terminal or a pull request."""

from __future__ import annotations

from typing import Any

from tli.report.numbers import figures, probability, signed


def text(context: dict[str, Any]) -> str:
    """The first screen as Markdown, from what the page's template is given."""
    experiment = context["experiment"]
    lines = [f"# {_safe(experiment.title)}", ""]
    if context["missing"]:
        lines += [f"**Partial report.** Missing ({len(context['missing'])}):", ""]
        lines += [f"- {_safe(item)}" for item in context["missing"][:20]]
        lines += [f"- and {len(context['missing']) - 20} more"] if len(context["missing"]) > 20 else []
        lines.append("")
    if experiment.is_demo:
        lines += ["**Demo model: no figure here is a claim about a real model.**", ""]
    if experiment.question:
        lines += [f"**Question.** {_safe(experiment.question)}", ""]
    lines += [_safe(context["size"]), "", "## What came out", ""]
    for one in context["answers"]:
        row, name = one.verdict, f"{_safe(one.model)}, {_safe(one.pair)}"
        lines.append(f"- **{name}** ({_safe(row['cell'])}): **{_safe(one.headline)}.**" if row else f"- **{name}, {_safe(one.headline)}.**")
        lines += [f"  - {_safe(one.spared)}"] if one.spared else []
        lines += [f"  - {answer.question} {_safe(answer.text)}" for answer in one.answers]
        lines += [f"  - {_safe(row['sentence'])}", *(f"  - {_safe(line)}" for line in row["lines"])] if row else []
    lines += [f"- **{_safe(model)}, {_safe(pair)}, before training, in full.** {_safe(text)}" for model, pair, text in context["alignment"]]
    if context["untested"]:
        lines.append("- Nothing has been tested yet.")
    if context["verdicts"]:
        metric = context["verdicts"][0]["metric_label"]
        lines += [
            "",
            f"{metric} on held-out pairs, 95 % intervals over other seeds and held-out words, of the settings named above (tables/verdicts.tsv has all):",
            "",
        ]
        lines += [
            "| model | pair | before | after | after - before | real - placebo | adjusted p | seeds | pairs |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {_safe(r['model'])} | {_safe(r['pair'])} | {figures(r['before'])} | {figures(r['after'])} | "
            f"{signed(r['change'])} [{signed(r['change_low'])}, {signed(r['change_high'])}] | {signed(r['against_placebo'])} "
            f"[{signed(r['against_placebo_low'])}, {signed(r['against_placebo_high'])}] | {probability(r['p_family'])} | "
            f"{figures(r['seeds'])} | {figures(r['heldout_pairs'])} |"
            for r in context["verdicts"]
        ]
        lines += ["", "![The primary endpoint with its intervals](figures/primary.png)"]
    if context["across"]:
        lines += ["", "## Trained on one list, measured on all", ""]
    for one in context["across"]:
        lines += [f"- **{_safe(one.model)}, {_safe(one.cell)}.** {_safe(one.balance)} {_safe(one.family)}"]
        lines += [f"  - {_safe(sentence)}" for sentence in one.sentences]
    lines += ["", "## Can it be believed", ""]
    lines += [f"- {'**' + _safe(one.about) + ':** ' if one.about else ''}{_safe(one.text)}" for one in context["warnings"]]
    lines += [] if context["warnings"] else ["- No warning."]
    lines += [
        "",
        "## Details",
        "",
        "`index.html` has the figures, tables, methods and provenance; `tables/` the tables as TSV; `figures/` the figures as SVG and PNG.",
    ]
    if context["provenance"].registration:
        lines += ["", _safe(context["provenance"].registration)]
    provenance = context["provenance"]
    if provenance.commits or provenance.config_digest:
        made_by = ", then ".join(provenance.commits) or "unknown"
        drawn = f" (this page: {_safe(provenance.drawn_by)})" if provenance.drawn_by else ""
        lines += ["", f"Commit of the jobs {_safe(made_by)}{drawn}, config digest {_safe(provenance.config_digest or 'unknown')}."]
    return "\n".join(lines) + "\n"


def _safe(value: object) -> str:
    """Text that Markdown shows as it is."""
    text = " ".join(str(value).split())
    for character, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("*", "\\*"), ("_", "\\_"), ("`", "\\`")):
        text = text.replace(character, instead)
    return text
