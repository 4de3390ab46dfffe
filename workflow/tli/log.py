"""Lines for the log of a job and for whoever watches it, without tokens and passwords."""

from __future__ import annotations

import os
import re
import sys

TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
terminals: list = []  # where the people watch while a log takes what is printed


def redact(text: str) -> str:
    """Take access tokens and passwords in addresses out of a text that goes to a log or a report."""
    for key, value in os.environ.items():
        if value and len(value) >= 8 and re.search(r"TOKEN|SECRET|PASSWORD", key) and key != "TOKENIZERS_PARALLELISM":
            text = text.replace(value, "[redacted]")
    return TOKEN.sub("[redacted]", text)


def say(text: str) -> None:
    """A line for the log."""
    print(redact(text), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """A line for the log and for whoever watches the run."""
    say(f"WARNING: {text}")
    if terminals:
        print(redact(f"WARNING: {text}"), file=terminals[-1], flush=True)


def bar(done: int, total: int, what: str) -> None:
    """How far a long step is: a bar that moves on a terminal, a line at every tenth in a log."""
    share = done / max(total, 1)
    text = f"{what} [{'#' * round(20 * share):<20}] {done} of {total}"
    if sys.stderr.isatty():
        print(f"\r{text}", end="\n" if done >= total else "", file=sys.stderr, flush=True)
    elif int(10 * share) > int(10 * (done - 1) / max(total, 1)):
        say(text)
