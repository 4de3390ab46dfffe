"""How soon a page opens: from disk, in headless Chromium where it is installed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT

sys.path.insert(0, str(ROOT / "tests" / "browser"))

from chromium import Browser, installed

READY = "return document.documentElement.dataset.ready === 'yes'"
TIMES = """const t = performance.getEntriesByType('navigation')[0];
return [t.loadEventEnd, performance.getEntriesByName('first-contentful-paint')[0].startTime];"""


def opened(page: Path) -> tuple[float, float] | None:
    """Milliseconds until the load event and the first contentful paint, the median of five times; None where Chromium is not installed."""
    if not installed():
        return None
    with tempfile.TemporaryDirectory() as downloads, Browser(Path(downloads), 1440, 900) as browser:
        seen = []
        for _ in range(5):
            browser.open(page)
            browser.wait(READY)
            seen.append(browser.run(TIMES))
    return tuple(np.median(seen, axis=0))
