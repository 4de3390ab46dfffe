"""Text and tables as LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u2212": r"$-$",
    "\u2013": "--",
    "\u2192": r"$\rightarrow$",
    "\u00b1": r"$\pm$",
}
CITED = re.compile(r"((?: ?\[[a-z]+\])+)")


def escaped(text: Any) -> str:
    r"""Text with every character that LaTeX reads otherwise.

    >>> escaped("50 % of {a_b}")
    '50 \\% of \\{a\\_b\\}'
    """
    return "".join(SPECIAL.get(character, character) for character in str(text))


def cited(text: str, keys: Sequence[str]) -> str:
    r"""Text whose bracketed keys become citations of natbib.

    >>> cited("CSLS [csls] of hs[2]", ["csls"])
    'CSLS~\\citep{csls} of hs[2]'
    """
    parts = []
    for part in CITED.split(text):
        named = re.findall(r"\[([a-z]+)\]", part)
        is_citation = bool(named) and all(name in keys for name in named) and CITED.fullmatch(part)
        parts.append(f"~\\citep{{{','.join(named)}}}" if is_citation else escaped(part))
    return "".join(parts)


def booktabs(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, align: str = "") -> str:
    """A table of the package booktabs; cells are escaped."""
    lines = [r"\begin{table}", r"\centering\small", f"\\begin{{tabular}}{{{align or 'l' * len(header)}}}", r"\toprule"]
    lines += [" & ".join(map(escaped, header)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}", f"\\caption{{{escaped(caption)}}}", f"\\label{{{label}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A signed figure with its interval; a dash where it is undefined.

    >>> interval(0.34, 0.23, 0.46, 2)
    '+0.34 [+0.23, +0.46]'
    """
    if not math.isfinite(value):
        return "\u2013"
    text = f"{value:+.{digits}f}"
    return f"{text} [{low:+.{digits}f}, {high:+.{digits}f}]" if math.isfinite(low) and math.isfinite(high) else text
