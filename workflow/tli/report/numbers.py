"""How numbers are written for people, in the page, in summary.md and in the figures' alternative text."""

from __future__ import annotations

import math
import re

SHARES = ("p_at_1", "p_at_5", "csls_p_at_1")  # metrics that are a share of words, which people read in percent


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


def confidence(alpha: float) -> str:
    """The level of an interval.

    >>> confidence(0.05)
    '95 %'
    """
    return f"{100 * (1 - alpha):g} %"


def level(value: float | None, metric: str) -> str:
    """A figure of a metric: of one that counts words in percent, of others with three decimals.

    >>> level(0.427, "csls_p_at_1"), level(0.427, "gap")
    ('43 %', '0.427')
    """
    return share(value) if metric in SHARES else figures(value, 3)


def from_to(before: float | None, after: float | None, metric: str) -> str:
    """As in "43 → 77 %".

    >>> from_to(0.427, 0.768, "csls_p_at_1"), from_to(0.1, 0.25, "gap")
    ('43 → 77 %', '0.100 → 0.250')
    """
    first, last = level(before, metric), level(after, metric)
    return f"{first.removesuffix(' %') if last.endswith(' %') else first} → {last}"


def difference(value: float | None, metric: str, with_unit: bool = True) -> str:
    """A difference of two such figures, of percents in points.

    >>> difference(0.341, "csls_p_at_1"), difference(-0.045, "csls_p_at_1"), difference(-0.045, "gap")
    ('+34 points', '−4.5 points', '−0.045')
    """
    if metric not in SHARES or value is None or not math.isfinite(float(value)):
        return signed(value)
    points = 100 * float(value)
    return signed(points, 0 if abs(points) >= 9.95 else 1) + (" points" if with_unit else "")


def bounds(low: float | None, high: float | None, metric: str) -> str:
    """An interval of such a difference: "+23 to +46"; "" where there is none."""
    if low is None or high is None or not (math.isfinite(float(low)) and math.isfinite(float(high))):
        return ""
    return f"{difference(low, metric, with_unit=False)} to {difference(high, metric, with_unit=False)}"


def bound(text: str) -> str:
    r"""A sentence in which no number is parted from its unit at the end of a line.

    >>> bound("43 % by 2 words, +2.13 nats")
    '43\xa0% by 2 words, +2.13\xa0nats'
    """
    return re.sub(r"(?<=\d) (?=%|nats|points)", "\u00a0", text)


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
