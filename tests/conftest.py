"""What all tests share: no network, the real inputs where they are, the slow tests only on demand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Two processes with a thread a core each wait for one another: the suite took twice as long. Before torch is imported; jobs inherit it.
if os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    share = len(os.sched_getaffinity(0)) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that take more than 20 seconds too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes more than 20 seconds; --slow runs it")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real models and lexicons (models/..., data/...)."""
    folder = os.environ.get("TLI_TEST_DATA", "")
    if not folder:
        pytest.skip("TLI_TEST_DATA is not set: the real models and lexicons are not here")
    if not Path(folder).is_dir():
        pytest.fail(f"TLI_TEST_DATA is {folder}, which is no folder")
    return Path(folder)
