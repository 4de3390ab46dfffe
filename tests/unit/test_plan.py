"""plan: its jobs are Snakemake's own, its sums are the costs of the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tli.__main__ import main
from tli.cluster import costs, plan
from tli.cluster.costs import Work
from tli.config import load, parse
from tli.experiment import Experiment

ROOT = Path(__file__).parents[2]
BIG = {"source": "owner/name", "revision": "0" * 40, "parameters": 8.03e9, "quantization": "nf4"}


def made(**changes) -> Experiment:
    base = {
        "models": {"m": BIG},
        "pairs": {name: {"lexicon": "absent.tsv"} for name in ("swh-eng", "lin-eng")},
        "arms": {"tli": {"loss_layer": ["best", 2], "rank": [4, 8]}, "full": {"method": "full", "loss_layer": ["output"]}},
        "seeds": 10,
    }
    return Experiment(parse(base | changes))


def jobs_of(planned) -> dict[str, int]:
    return dict(zip(planned["stage"], planned["jobs"]))


def test_jobs_counted_by_hand():
    # 2 pairs x (2 layers x 2 ranks + 1 full) = 10 cells; evaluation: one part of adapters, one unquantised baseline, 10 full runs a pair
    assert jobs_of(plan.plan(made())) == {
        "fetch": 1, "lexicon": 2, "check": 1, "scan": 2, "train": 10, "evaluate": 2 * (1 + 1 + 10), "statistics": 1, "report": 1, "total": 42,
    }  # fmt: skip
    cut = made(jobs={"seeds_per_job": 4, "adapters_per_job": 15})
    assert jobs_of(plan.plan(cut))["train"] == 10 * 3  # seeds 4 + 4 + 2
    assert jobs_of(plan.plan(cut))["evaluate"] == 2 * (3 + 1 + 10)  # 40 adapters in parts of 15


def test_transfer_is_counted_when_it_is_asked_for():
    asked = plan.plan(made(transfer={"tasks": ["xcopa_sw", "xnli_sw"]})).set_index("stage")
    assert asked.loc["transfer", "jobs"] > 0 and asked.loc["transfer", "gpu_hours"] > 0
    assert asked.loc["fetch", "jobs"] == 2
    fewer = plan.plan(made(transfer={"tasks": ["xcopa_sw", "xnli_sw"], "limit": 50})).set_index("stage")
    assert fewer.loc["transfer", "gpu_hours"] < asked.loc["transfer", "gpu_hours"]


def test_gpu_hours_are_the_sum_over_the_jobs():
    experiment = made()
    total = 0.0
    for pair in experiment.config.pairs:
        for part in experiment.parts("evaluate", "m", pair).values():
            number = len(part.runs) + len(part.baselines) + len(part.inside)
            total += costs.seconds(experiment, Work("evaluate", "m", pair, is_full=part.is_unquantised, runs=number))
    assert plan.plan(experiment).set_index("stage").loc["evaluate", "gpu_hours"] == pytest.approx(total / 3600)
    on_cpu = plan.plan(made(models={"m": BIG | {"device": "cpu"}}))
    assert (on_cpu["gpu_hours"] == 0).all() and (on_cpu["gpu_memory_mb"] == 0).all()


def test_disk_of_full_fine_tuning_is_that_of_its_weights_and_passes():
    table = plan.plan(made()).set_index("stage")
    weights, checkpoint = 8.03 * 2, 8.03 * (4 + 2 * 4)  # bfloat16; float32 weights and two moments
    assert table.loc["train", "disk_while_running_gb"] == pytest.approx(
        2 * 10 * weights + 2 * 2 * checkpoint
    )  # pairs x (seeds, old and new)
    unchecked = plan.plan(made(jobs={"checkpoint_minutes": 0})).set_index("stage")
    assert unchecked.loc["train", "disk_while_running_gb"] == pytest.approx(2 * 10 * weights)
    assert table.loc["fetch", "disk_gb"] == pytest.approx(16.06)
    assert table.loc["check", "disk_gb"] == pytest.approx(8.03 * 0.6, abs=0.01)  # the NF4 weights that all jobs open
    only = plan.plan(made(arms={"tli": {}})).set_index("stage")
    assert only.loc["train", "disk_while_running_gb"] == 0


def test_the_command_prints_it(capsys):
    assert main(["plan", str(ROOT / "config" / "ranks.yaml")]) == 0
    said = capsys.readouterr().out
    for word in ("gpu_hours", "memory_gb", "disk_gb", "transfer", "total"):
        assert word in said


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["config.yaml", "demo-ranks.yaml", "demo-harm.yaml"])
def test_snakemake_makes_as_many_jobs(name, tmp_path):
    """The plan against a dry run of the same config into an empty folder."""
    import re

    import yaml
    from experiments import snakemake, write_config

    content = yaml.safe_load((ROOT / "config" / name).read_text()) | {"results": str(tmp_path / "results")}
    file = write_config(content, tmp_path / "config.yaml")
    dry = snakemake("--profile", "profiles/local", "--configfile", file, "-n", "-q", "rules")
    assert dry.returncode == 0, dry.stdout[-3000:]
    counted: dict[str, int] = {}
    for rule, number in re.findall(r"^(\w+) +(\d+)$", dry.stdout.split("Job stats:")[1].split("\n\n")[0], re.M):
        stage = rule.split("_")[0]
        counted[stage] = counted.get(stage, 0) + int(number)
    planned = jobs_of(plan.plan(Experiment(load([file]))))
    assert counted.pop("total") - counted.pop("all") == planned.pop("total")
    assert counted == planned
