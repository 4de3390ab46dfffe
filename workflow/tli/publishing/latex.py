"""Text and tables as LaTeX."""

from __future__ import annotations

import math
import re
import unicodedata
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
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u2212": r"$-$",
    "\u2013": "--",
    "\u2014": "---",
    "\u2018": r"\textquoteleft{}",
    "\u2019": r"\textquoteright{}",
    "\u201c": r"\textquotedblleft{}",
    "\u201d": r"\textquotedblright{}",
    "\u2026": r"\ldots{}",
    "\u02bb": r"\textquoteleft{}",  # of Hawaiian and Uzbek
    "\u02bc": r"\textquoteright{}",
    "\u2192": r"$\rightarrow$",
    "\u00b1": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u2265": r"$\geq$",
    "\u2264": r"$\leq$",
}
ACCENTS = {
    "\u0300": "\\`",
    "\u0301": "\\'",
    "\u0302": "\\^",
    "\u0303": "\\~",
    "\u0304": "\\=",
    "\u0306": "\\u",
    "\u0307": "\\.",
    "\u0308": '\\"',
    "\u030a": "\\r",
    "\u030b": "\\H",
    "\u030c": "\\v",
    "\u0323": "\\d",
    "\u0327": "\\c",
    "\u0328": "\\k",
    "\u0331": "\\b",
}
LATIN = ("\u00a1", "\u017f")  # between these pdfLaTeX has every letter in the encoding T1
CITED = re.compile(r"((?: ?\[[a-z]+\])+)")
MINUS = re.compile(r"(?<![\w.)\]-])-(?=[\d.])|(?<= )-(?= )")
POWER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e-0*(\d+)(?!\w)")
MOST_ROWS = 40  # of a table on one page


def escaped(text: Any) -> str:
    r"""Text with every character that LaTeX reads otherwise; accents that T1 has no letter with are put above or below theirs.

    >>> escaped("50 % of {a_b}")
    '50 \\% of \\{a\\_b\\}'
    """
    # A file cannot hold half a pair of surrogates, and TeX stops at a control character.
    plain = "".join(" " if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") else one for one in str(text))
    letters: list[str] = []
    for character in unicodedata.normalize("NFC", plain):
        if not _is_known(character):
            base, *marks = list(unicodedata.normalize("NFD", character))
            if base in ACCENTS and letters:
                letters[-1] = f"{ACCENTS[base]}{{{letters[-1]}}}"
                continue
            if marks and all(mark in ACCENTS for mark in marks) and _is_known(base):
                for mark in marks:
                    base = f"{ACCENTS[mark]}{{{base}}}"
                letters.append(base)
                continue
        letters.append(SPECIAL.get(character, character))
    return re.sub(r"-(?=-)", "-{}", "".join(letters)) if "--" in plain else "".join(letters)


def foreign(text: str) -> list[str]:
    """The characters of escaped text that pdfLaTeX has no letter for, sorted."""
    return sorted({character for character in text if not _is_known(character)})


def _is_known(character: str) -> bool:
    return character.isascii() or character in SPECIAL or LATIN[0] <= character <= LATIN[1]


def cited(text: str, keys: Sequence[str]) -> str:
    r"""Text whose bracketed keys become citations of natbib.

    >>> cited("CSLS [csls] of hs[2]", ["csls"])
    'CSLS~\\citep{csls} of hs[2]'
    """
    parts = []
    for part in CITED.split(text):
        named = re.findall(r"\[([a-z]+)\]", part)
        is_citation = bool(named) and all(name in keys for name in named) and CITED.fullmatch(part)
        tie = "~" if part.startswith(" ") else ""
        parts.append(f"{tie}\\citep{{{','.join(named)}}}" if is_citation else typeset(part))
    return "".join(parts)


def typeset(text: Any) -> str:
    r"""Escaped text with signs and powers as mathematics.

    >>> typeset("-0.3 at 2e-07, k - 1")
    '$-$0.3 at $2\\times10^{-7}$, k $-$ 1'
    """
    return POWER.sub(r"$\1\\times10^{-\2}$", MINUS.sub("$-$", escaped(text)))


def booktabs(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, align: str = "") -> str:
    """A table of the package booktabs over the width of the page; cells are escaped. One that is wider is shrunk (graphicx), one of more than
    MOST_ROWS rows is cut into several.
    """
    parts = [rows[start : start + MOST_ROWS] for start in range(0, len(rows), MOST_ROWS)] or [rows]
    written = [_table(header, parts[0], typeset(caption), label, align)]
    for number, part in enumerate(parts[1:], 2):
        written.append(_table(header, part, f"Continued from Table~\\ref{{{label}}}.", f"{label}-{number}", align))
    return "\n".join(written)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, align: str) -> str:
    lines = [r"\begin{table*}", r"\centering\small", f"\\caption{{{caption}}}", f"\\label{{{label}}}"]
    lines += [r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"]
    lines += [f"\\begin{{tabular}}{{{align or 'l' * len(header)}}}", r"\toprule"]
    lines += [_row(header), r"\midrule", *map(_row, rows)]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    r"""A row that begins with [ or * would be read as an argument of the \\ before it."""
    line = " & ".join(map(typeset, cells))
    return f"{'{}' if line.startswith(('[', '*')) else ''}{line} \\\\"


def figure(path: str, caption: str, label: str, is_wide: bool) -> str:
    """A figure of a column, or of the page."""
    kind, width = ("figure*", r"\textwidth") if is_wide else ("figure", r"\columnwidth")
    lines = [f"\\begin{{{kind}}}", r"\centering", f"\\includegraphics[width={width}]{{{path}}}"]
    lines += [f"\\caption{{{typeset(caption)}}}", f"\\label{{{label}}}", f"\\end{{{kind}}}"]
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
