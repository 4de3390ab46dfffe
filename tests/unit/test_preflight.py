"""preflight: answers of made-up clusters, and what it says of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tli.__main__ import main
from tli.cluster import preflight
from tli.config import parse
from tli.experiment import Experiment

MODEL = {"source": "owner/name", "revision": "0" * 40, "parameters": 8.03e9, "quantization": "nf4"}
PROFILE = "executor: slurm\nslurm-status-command: squeue\nslurm-init-seconds-before-status-checks: 20\n"
CONFIGURED = "MinJobAge               = {age} sec\nAccountingStorageType   = accounting_storage/{accounting}\n"
ROOT = Path(__file__).parents[2]
ROOT_CONFIG = str(ROOT / "config" / "ranks.yaml")
NODES = [
    "main*\t1-00:00:00\t256000\t32\t(null)\tup\tidle",
    "gpu\t2-00:00:00\t512000\t64\tgpu:a100:4(S:0-1)\tup\tmix",
    "old\t1:00:00\t64000\t16\tgpu:v100:2\tup\tdown*",
]


@pytest.fixture(autouse=True)
def torch_for_cards(monkeypatch):
    """As on a cluster: the torch here is one for processors, and nothing of this machine's is to count."""
    monkeypatch.setattr(preflight.cards, "torch_build", lambda: preflight.cards.Build("2.13.0", "13.0", ""))
    monkeypatch.setattr(preflight.cards, "driver", lambda: None)
    monkeypatch.setattr(preflight.cards, "of_this_machine", lambda: None)


def look(
    tmp_path,
    resources: str = "slurm_partition: gpu",
    nodes=NODES,
    age: int = 300,
    accounting: str = "slurmdbd",
    accounts: str = "proj\n",
    **changes,
):
    """Findings for a profile and a cluster."""
    experiment = Experiment(
        parse(
            {
                "models": {"m": MODEL},
                "pairs": {"swh-eng": {"lexicon": "absent.tsv"}},
                "arms": {"tli": {}},
                "seeds": 10,
                "results": str(tmp_path / "r"),
            }
            | changes
        )
    )
    file = tmp_path / "config.yaml"
    file.write_text(PROFILE + f"default-resources: {{{resources}}}\n")

    def ask(*words: str) -> str | None:
        answers = {"scontrol": CONFIGURED.format(age=age, accounting=accounting), "sinfo": "\n".join(nodes), "sacctmgr": accounts}
        return answers.get(words[0])

    return preflight.preflight(experiment, file, ask)


def errors(found) -> list[str]:
    return [f"{finding.what} {finding.mend}" for finding in found if finding.level == "error"]


def test_a_good_cluster_has_no_error(tmp_path):
    found = look(tmp_path)
    assert errors(found) == []
    assert any(finding.what == "GPUs: a100, 4 in a node" for finding in found)


def only_error(found) -> str:
    (error,) = errors(found)
    return error


def test_each_fault_is_named_with_its_mend(tmp_path):
    said = errors(look(tmp_path, "slurm_partition: gpus"))[0]
    assert "partition 'gpus' is not on this cluster" in said and "one of gpu, main, old" in said
    assert "the partition has none slurm_partition: one of gpu, old" in only_error(look(tmp_path, ""))
    assert "gpu_model 'h100' is not in the partition gpu_model in the profile: a100" in only_error(
        look(tmp_path, "slurm_partition: gpu, gpu_model: h100")
    )
    assert "account 'mine' is not yours slurm_account in the profile: one of proj" in only_error(
        look(tmp_path, "slurm_partition: gpu, slurm_account: mine")
    )
    assert "no node that is up" in " ".join(errors(look(tmp_path, "slurm_partition: old")))


def test_jobs_that_are_too_long_or_too_large_for_the_partition(tmp_path):
    small = ["gpu\t00:20:00\t8000\t32\tgpu:a100:4\tup\tidle"]
    said = errors(look(tmp_path, nodes=small))
    assert any("asks for" in text and "minutes, gpu allows 20" in text and "seeds_per_job" in text for text in said)
    assert any("MB, gpu allows 8000" in text for text in said)


def test_a_cluster_that_forgets_jobs_too_soon(tmp_path):
    said = only_error(look(tmp_path, age=30, accounting="none"))
    assert "leaves squeue after 30 s (MinJobAge), and the executor wants 60 s" in said and "status-checks: 10" in said
    assert errors(look(tmp_path, age=30)) == []  # sacct answers in its place
    assert any("falls back to sacct" in finding.mend for finding in look(tmp_path, age=30))


def test_a_full_disk(tmp_path):
    full = {
        "arms": {"full": {"method": "full", "loss_layer": ["output"]}},
        "pairs": {f"aa{i}-eng": {"lexicon": "x.tsv"} for i in range(400)},
    }
    assert any("GB free" in text and "make room" in text for text in errors(look(tmp_path, **full)))  # 400 x 10 x 16 GB


def test_models_on_the_cpu_need_no_gpu(tmp_path):
    found = look(tmp_path, "", models={"m": MODEL | {"device": "cpu"}})
    assert any(finding.what == "no model asks for a GPU" for finding in found)
    assert not any("torch" in finding.what or "card" in finding.what for finding in found)


SEVENTY = {"m": MODEL | {"parameters": 70.6e9, "quantization": "none"}}


def test_jobs_that_the_cards_do_not_hold(tmp_path):
    """A 70B in bf16 is streamed in scan and evaluation, and nothing holds its training at the output."""
    config = {"models": SEVENTY, "arms": {"late": {"loss_layer": ["output"]}, "early": {"loss_layer": [2]}}}

    def faults(resources: str) -> list[str]:
        return [text for text in errors(look(tmp_path, resources, **config)) if "a card's memory" in text]

    (said,) = faults("slurm_partition: gpu, gpu_memory_gb: 80")
    assert "train of late at output, m needs" in said and "more than its 80" in said and "quantization: nf4 (" in said
    assert "more than its 40" in faults("slurm_partition: gpu")[0]  # an a100, of 40 GB if it is not said
    roomy = look(tmp_path, "slurm_partition: gpu, gpu_memory_gb: 180", **config)
    assert any(finding.what.startswith("every job fits a card of 180 GB") for finding in roomy)
    unnamed = look(tmp_path, nodes=["gpu\t1:00:00\t512000\t64\tgpu:4\tup\tmix"], resources="slurm_partition: gpu")
    assert any("80 GB are assumed" in finding.what and "gpu_memory_gb" in finding.mend for finding in unnamed)


def test_torch_that_does_not_go_with_the_driver(tmp_path, monkeypatch):
    def said(build, driver) -> preflight.Finding:
        monkeypatch.setattr(preflight.cards, "torch_build", lambda: build)
        monkeypatch.setattr(preflight.cards, "driver", lambda: driver)
        return next(finding for finding in look(tmp_path) if "torch" in finding.what)

    built = preflight.cards.Build("2.13.0", "13.0", "")
    assert said(preflight.cards.Build("2.13.0+cpu", "", ""), None).level == "error"
    old = said(built, ("550.54.15", "12.4"))
    assert old.level == "error" and "built for CUDA 13.0, the driver (550.54.15) knows CUDA 12.4 at most" in old.what
    assert said(built, ("580.82.07", "13.0")).level == "ok"
    unseen = said(built, None)
    assert unseen.level == "warning" and "580.65 or newer" in unseen.what and "srun --gpus=1 nvidia-smi" in unseen.mend


def test_where_there_is_no_slurm(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(ROOT)
    assert main(["preflight", ROOT_CONFIG]) == 1
    said = capsys.readouterr().out
    assert (
        "SLURM does not answer here" in said and "sbatch, squeue, scontrol, sinfo not found" in said and "--profile profiles/local" in said
    )
    assert main(["preflight", ROOT_CONFIG, "--profile", str(tmp_path / "absent.yaml")]) == 2
    assert "cannot be read as a profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30", 0.5), ("20:00", 20), ("1:00:00", 60), ("2-00:00:00", 2880), ("1-12:30:00", 2190), ("infinite", float("inf"))],
)
def test_times_as_slurm_writes_them(text, minutes):
    assert preflight.as_minutes(text) == minutes
