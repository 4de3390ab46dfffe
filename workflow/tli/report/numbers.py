"""How numbers are written for people, in the page, in summary.md and in the figures' alternative text."""

from __future__ import annotations

import math


def figures(value: float | str | None, digits: int = 4) -> str:
    """A number for people: `digits` decimals, whole numbers whole, "–" where undefined.

    >>> figures(0.25), figures(1234.0), figures(None)
    ('0.2500', '1,234', '–')
    """
    if value is None or isinstance(value, str) and not value:
        return "–"
    number = float(value)
    if not math.isfinite(number):
        return "–"
    return f"{int(number):,}" if number.is_integer() and abs(number) < 1e15 else f"{number:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign.

    >>> signed(0.0314), signed(-0.5)
    ('+0.031', '−0.500')
    """
    number = float("nan") if value is None else float(value)
    return f"{number:+.{digits}f}".replace("-", "\u2212") if math.isfinite(number) else "–"


def share(value: float | None) -> str:
    """A share as percent: 43 %, below a tenth with one decimal.

    >>> share(0.427), share(0.034)
    ('43 %', '3.4 %')
    """
    number = float("nan") if value is None else float(value)
    return "–" if not math.isfinite(number) else f"{100 * number:.1f} %" if 0 < number < 0.1 else f"{100 * number:.0f} %"


def probability(p: float | None, log10_p: float | None = None) -> str:
    """A p value; where it is too small for a number, a power of ten from its logarithm.

    >>> probability(0.0312), probability(0.00021), probability(0.0, -320.4)
    ('0.031', '2.10e-04', '10^-320')
    """
    number = float("nan") if p is None else float(p)
    if number == 0 and log10_p is not None and math.isfinite(float(log10_p)):
        return f"10^{float(log10_p):.0f}"
    return "–" if not math.isfinite(number) else f"{number:.3f}" if number >= 0.001 else f"{number:.2e}"


def duration(seconds: float | None) -> str:
    """Seconds as 45 s, 3 min 20 s or 2 h 5 min.

    >>> duration(45), duration(200), duration(7500)
    ('45 s', '3 min 20 s', '2 h 5 min')
    """
    number = 0.0 if seconds is None else float(seconds)
    if not math.isfinite(number):
        return "–"
    if number < 60:
        return f"{number:.0f} s" if number >= 10 or number == 0 else f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
