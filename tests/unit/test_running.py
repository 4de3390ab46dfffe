"""The wrapping of a job: what it says when it fails, also where nothing can be written, and that it tells no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tli.log import redact
from tli.runtime.wrapping import forget_tokens

TOKEN = "hf_" + "aB3dE5gH7jK9mN1pQ3sT"


def job(tmp_path, body: str, log: str = "", gpus: int = 0, **environment) -> subprocess.CompletedProcess:
    """Run a job of the stage report, whose work is `body`, in a process of its own."""
    sections = {"models": {"m": {"source": "x"}}, "pairs": {"a-b": {"lexicon": "x"}}, "arms": {"tli": {}}, "results": str(tmp_path)}
    code = (
        "import os, sys, types\n"
        "from tli.config import parse\nfrom tli.experiment import Experiment\nfrom tli.experiment.job import Job\n"
        "from tli.runtime.wrapping import run\n"
        f"def work(job):\n    facts = {{}}\n    {body}\n    return facts\n"
        "sys.modules['tli.stages.report'] = types.SimpleNamespace(run=work)\n"
        f"run(Job.of(Experiment(parse({sections!r})), 'report'), log={log!r}, gpus={gpus})\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment)


def test_a_good_job_leaves_its_provenance_and_its_log(tmp_path):
    log = tmp_path / "logs" / "a.log"
    done = job(tmp_path, "print('said'); facts['device'] = 'CPU'", str(log), CUDA_VISIBLE_DEVICES="3")
    assert done.returncode == 0 and log.read_text() == "said\n" and done.stdout == "", done.stderr
    record = json.loads((tmp_path / "provenance" / "report" / "all.json").read_text())
    assert record["device"] == "CPU" and record["cards"] == "3" and record["seconds"] >= 0


@pytest.mark.parametrize(
    "error",
    ["OSError(28, 'No space left on device')", "RuntimeError('I/O error: No space left on device (os error 28)')"],
    ids=["ours", "a library's"],
)
def test_a_full_disk_is_called_so(tmp_path, error):
    log = tmp_path / "a.log"
    done = job(tmp_path, f"raise {error}", str(log))
    assert done.returncode == 1
    assert "Error in report all: the disk is full" in done.stderr and f"The log is {log}" in done.stderr and "Traceback" not in done.stderr
    assert "Traceback" in log.read_text()
    assert not (tmp_path / "provenance").exists()


def test_a_log_that_cannot_be_written_does_not_hide_the_error(tmp_path):
    done = job(tmp_path, "raise ValueError('the reason')", "/dev/full")
    assert done.returncode == 1 and "Error in report all: the reason" in done.stderr
    done = job(tmp_path, "pass", "/proc/no/such/folder/a.log")
    assert done.returncode == 1 and "Error in report all: " in done.stderr and "Traceback" not in done.stderr.split("Error in report")[1]


def test_an_error_with_a_token_in_it_is_told_without(tmp_path):
    log = tmp_path / "a.log"
    done = job(tmp_path, "raise RuntimeError('no access for ' + os.environ['MY_TOKEN'])", str(log), MY_TOKEN="quite-a-secret")
    assert "no access for [redacted]" in done.stderr
    assert "quite-a-secret" not in done.stderr + log.read_text()
    assert redact(f"https://me:{TOKEN}@hub/x and {TOKEN}") == "https://[redacted]@hub/x and [redacted]"


def test_compute_jobs_forget_tokens(monkeypatch):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "DB_PASSWORD"):
        monkeypatch.setenv(name, TOKEN)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    forget_tokens()
    assert TOKEN not in os.environ.values() and os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_a_job_that_needs_a_card_computes_on_its_own(tmp_path, monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    shown = "print(os.environ['CUDA_VISIBLE_DEVICES'])"
    done = job(tmp_path, shown, gpus=1, TLI_GPUS="5,7", TLI_GPU_LOCKS=str(tmp_path / "locks"))
    assert done.stdout.strip() == "5", done.stderr
    assert json.loads((tmp_path / "provenance" / "report" / "all.json").read_text())["cards"] == "5"


@pytest.mark.parametrize("log", ["", "a.log"])
def test_ctrl_c_is_one_sentence_and_status_130(tmp_path, log):
    typed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT)"
    done = job(tmp_path, typed, log and str(tmp_path / log))
    assert done.returncode == 130
    assert done.stderr.strip().startswith(
        "Error in report all: stopped by Ctrl-C; what is finished is kept, the same command goes on from there"
    )
    assert "Traceback" not in done.stderr and "KeyboardInterrupt" not in done.stderr


def test_a_command_that_is_stopped_says_so(monkeypatch, capsys):
    from tli import __main__

    def stopped(paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "load", stopped)
    assert __main__.main(["grid", "my.yaml"]) == 130
    assert capsys.readouterr().err.strip() == "tli grid: stopped by Ctrl-C; what is finished is kept, the same command goes on from there"


def test_a_file_without_rights_is_told_with_the_mend(tmp_path):
    done = job(tmp_path, "raise PermissionError(13, 'Permission denied', 'results/report/index.html')")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "results/report/index.html: Permission denied; change its permissions, or name another folder under `results`" in done.stderr


def test_a_stage_without_its_inputs_says_what_to_run_first(tmp_path, capsys):
    from tli.config import parse
    from tli.experiment import Experiment
    from tli.experiment.job import Job
    from tli.runtime import console

    sections = {
        "models": {"m": {"source": "o/m", "revision": "a" * 40}},
        "pairs": {"a-b": {"lexicon": "x"}},
        "arms": {"tli": {"loss_layer": 2}},
    }
    experiment = Experiment(parse(sections | {"seeds": 1, "results": str(tmp_path)}))
    scan = Job.of(experiment, "scan", model="m", pair="a-b")
    first = f"{tmp_path}/lexicon/a-b/pairs.tsv"
    assert console.what_comes_first(scan, ["my.yaml"]).splitlines() == [
        f"run lexicon, check first: {first} and 1 more are not there",
        "  tli run lexicon my.yaml --pair a-b",
        "  tli run check my.yaml --model m",
    ]
    evaluate = Job.of(experiment, "evaluate", model="m", pair="a-b", part="part-1")
    assert "  tli run train my.yaml --model m --pair a-b --arm tli --layer 2 --rank 16" in console.what_comes_first(evaluate, ["my.yaml"])
    check = Job.of(experiment, "check", model="m")
    assert console.what_comes_first(check, ["my.yaml"]).splitlines()[1] == "  tli run fetch-model my.yaml --model m"
    for path in (scan.outputs["scan"], scan.outputs["choice"]):
        (tmp_path / "scan" / "m" / "a-b").mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    console.conclude_stage([scan])
    folder = f"{tmp_path}/scan/m/a-b"
    assert capsys.readouterr().err == f"scan m.a-b is done: {folder}/; open {folder}/scan.tsv and {folder}/best.tsv\n"
