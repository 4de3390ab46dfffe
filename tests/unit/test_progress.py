"""How far a run is, from the files that its jobs leave."""

from __future__ import annotations

import json
import os
import time

from tli.experiment.layout import Layout
from tli.runtime import progress


def finish(results, stage: str, job: str, seconds: float, age: float = 0) -> None:
    path = results / "provenance" / stage / f"{job}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seconds": seconds}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_counts_and_estimate(tmp_path):
    layout = Layout(str(tmp_path))
    assert progress.line(layout) == ""  # a stage by itself, no run announced
    finish(tmp_path, "train", "of an earlier run", 900, age=3600)
    progress.begin(layout, ["scan", "train", "train", "train", "evaluate"], cores=2)
    assert progress.line(layout) == ""
    time.sleep(0.02)
    finish(tmp_path, "scan", "a", 100)
    finish(tmp_path, "train", "b", 500)
    # Left: two trainings of 500 s and an evaluation of the mean, 300 s, on two cores: 650 s.
    assert progress.line(layout) == "left 2 train, 1 evaluate; about 11 min"
    for job in ("c", "d"):
        finish(tmp_path, "train", job, 500)
    finish(tmp_path, "evaluate", "e", 10)
    assert progress.line(layout) == ""
