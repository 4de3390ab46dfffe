"""A plugin of pytest for mutants.py: which tests enter which functions, only the tests asked for, in the order asked for.

REACH names a folder. asked.json in it: `package` (the folder whose functions count) to record, or `tests` (node ids, in order, with the
seconds each took) to run those and the ones nobody has recorded. told.json is written there: what was entered, or what failed first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

PLACE = Path(os.environ["REACH"])
ASKED = json.loads((PLACE / "asked.json").read_text(encoding="utf-8"))
PACKAGE = ASKED.get("package", "")
TOLD: dict = {"tests": {}, "ran": 0, "by": "", "how": "", "error": ""}
LEAST, TIMES = 30, 10  # a test may take so many seconds, and so many times what it takes without a fault


class Slow(BaseException):
    """A test takes many times what it takes; nothing of what it runs should take it for its own error."""


def _told_functions(codes: set[CodeType]) -> list[str]:
    names = set()
    for code in codes:
        file = code.co_filename
        if file.startswith(PACKAGE):
            names.add(f"{file.removeprefix(PACKAGE).lstrip('/')}:{code.co_qualname.partition('.<locals>')[0]}")
    return sorted(names)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    entered: set[CodeType] = set()

    def seen(frame: FrameType, event: str, argument: object) -> None:
        entered.add(frame.f_code)

    began = time.perf_counter()
    if PACKAGE:
        threading.settrace(seen)
        sys.settrace(seen)
    yield
    if PACKAGE:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type] # None is how it is taken off
        TOLD["tests"][item.nodeid] = {"seconds": round(time.perf_counter() - began, 3), "functions": _told_functions(entered)}
    TOLD["ran"] += 1


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Slow(item.nodeid)

    if not PACKAGE:
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(int(max(LEAST, TIMES * ASKED["tests"].get(item.nodeid, LEAST))))
    yield
    signal.alarm(0)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if PACKAGE:
        return
    place = {name: number for number, name in enumerate(ASKED["tests"])}
    known = set(ASKED["known"])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in known and item.nodeid not in place])
    items[:] = sorted((item for item in items if item.nodeid not in known or item.nodeid in place), key=lambda i: place.get(i.nodeid, -1))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.failed and not TOLD["by"]:
        _tell(item.nodeid, call.excinfo)


def pytest_exception_interact(node: pytest.Item | pytest.Collector, call: pytest.CallInfo) -> None:
    if isinstance(node, pytest.Collector) and not TOLD["by"]:
        _tell(node.nodeid, call.excinfo)


def _tell(name: str, error: pytest.ExceptionInfo) -> None:
    TOLD["by"], TOLD["error"] = name, error.typename
    TOLD["how"] = {"AssertionError": "a wrong value", "Failed": "a wrong value", "Slow": "time"}.get(error.typename, "an error")


def pytest_sessionfinish(exitstatus: int) -> None:
    import tli

    if not Path(tli.__file__).is_relative_to(PLACE.parent):
        return  # then told.json lacks, and mutants.py stops: the faults would lie in another tree
    (PLACE / "told.json").write_text(json.dumps(TOLD | {"status": int(exitstatus)}), encoding="utf-8")
