"""The paper's two protocols run on any model by config alone, and their table stands beside the published one."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments import run_by_command, write_config, write_lexicon

from tli import config as tli_config
from tli.config.protocols import protocol
from tli.io import table_files

pytestmark = [pytest.mark.workflow, pytest.mark.usefixtures("undrawn")]


@pytest.mark.parametrize(("track", "state", "pooling"), [("paper-text", 4, "with-bos"), ("paper-code", 2, "no-bos")])
def test_track(track, state, pooling, experiment, tmp_path):
    ready = Path("config") / f"{track}.yaml"
    own = {
        "results": str(tmp_path / "results"),
        "models": {"lugha-llama": {"source": experiment["models"]["tiny"]["source"], "dtype": "float32", "device": "cpu"}},
        "pairs": {"swh-eng": {"lexicon": str(write_lexicon(tmp_path / "swh-eng.tsv")), "columns": None}},
        "split": {"sizes": {"train": 24, "heldout": 16}},
        "arms": {"tli": {"rank": [4]}},
        "seeds": 2,
    }
    over = write_config(own, tmp_path / "own.yaml")
    # The ready file loads as it stands, under the name of its protocol.
    assert protocol(tli_config.load(ready)) == track
    assert protocol(tli_config.load([ready, over])) == track
    run_by_command(ready, over)
    results = tmp_path / "results"
    runs = table_files.read(results / "statistics" / "runs.tsv")
    # Adapters on all four blocks, of which a loss at hs[2] reaches two.
    assert (runs["adapted_blocks"] == 4).all()
    assert (runs["trainable_parameters"] == 2 * runs["reached_parameters"]).all()
    tests = table_files.read(results / "statistics" / "tests.tsv")
    within = tests[(tests["level"] == "within one run") & (tests["metric"] == "cosine") & (tests["hidden_state"] == state)]
    assert {"train", "heldout"} <= set(within["split"]) and set(within["pooling"]) == {pooling}
    # Claims, and the table beside the paper's, stand where the protocol measures.
    confirmatory = tests[tests["level"] == "confirmatory"]
    assert set(confirmatory["hidden_state"]) == {state}
    assert set(table_files.read(results / "report" / "tables" / "table-1.tsv")["hidden_state"]) == {state}
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "54.8842" in page and "18.4525" in page
