"""What all tests share: no network, the real inputs where they are, the slow tests only on demand, two processes kept busy."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Two processes with a thread a core each wait for one another: the suite took twice as long. Before torch is imported; jobs inherit it.
if os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    share = len(os.sched_getaffinity(0)) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))
os.environ["HF_HUB_OFFLINE"] = "1"
# Files that share the experiment that Snakemake has run: one process makes it once and has it for itself. The last one adds to it.
ONE_EXPERIMENT = ("tests/workflow/test_doors.py", "tests/workflow/test_run.py")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that take more than 20 seconds too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes more than 20 seconds; --slow runs it")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(skip)
    items.sort(key=lambda item: item.nodeid.startswith(ONE_EXPERIMENT[-1]))
    if hasattr(config, "workerinput"):  # the long files first, so that no process is left alone with one
        items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


def pytest_collection_finish(session):
    """Imported modules are some million objects, and each full collection looks through them: a tenth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Of `--dist loadfile`: files in the order above (else the one with the most tests comes first), ONE_EXPERIMENT together."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LongFirst(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return ONE_EXPERIMENT[0] if file in ONE_EXPERIMENT else file

    config.option.loadscopereorder = False
    return LongFirst(config, log)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real models and lexicons (models/..., data/...)."""
    folder = os.environ.get("TLI_TEST_DATA", "")
    if not folder:
        pytest.skip("TLI_TEST_DATA is not set: the real models and lexicons are not here")
    if not Path(folder).is_dir():
        pytest.fail(f"TLI_TEST_DATA is {folder}, which is no folder")
    return Path(folder)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but not rendered: rendering takes most of a report's time, and has tests of its own."""
    from tli.report import svg

    def written(figure, name, folder):
        for kind in ("svg", "png"):
            (folder / f"{name}.{kind}").write_text("")
        return "<svg></svg>"

    monkeypatch.setattr(svg, "written", written)
