"""Look at a SLURM cluster before anything is submitted: what will not work there, and how to mend it. No torch."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tli.cluster import cards, costs, starts
from tli.cluster.fitting import misfits
from tli.cluster.plan import plan
from tli.cluster.profile import PROFILE, read_profile
from tli.cluster.sizes import size
from tli.cluster.work import works
from tli.experiment import Experiment

FIRST_LOOK = 40  # seconds until the executor first asks for a job's state, by default


@dataclass(frozen=True)
class Finding:
    """level: "ok", "warning" (it may work) or "error" (it will not). mend: what to do."""

    level: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.level:8}{self.what}" + (f"\n{'':8}-> {self.mend}" if self.mend else "")


def ask(*words: str) -> str | None:
    """The answer of one SLURM command; None where it is not there, does not answer in a minute, or fails."""
    if shutil.which(words[0]) is None:
        return None
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def preflight(experiment: Experiment, profile: Path = PROFILE, ask: Callable[..., str | None] = ask) -> list[Finding]:
    """Everything that can be known from the login node, the worst included. Raises ConfigError for an unreadable profile."""
    settings = read_profile(profile)
    told = ask("scontrol", "show", "config")
    if told is None:
        lacking = [name for name in ("sbatch", "squeue", "scontrol", "sinfo") if shutil.which(name) is None]
        mend = (
            f"{', '.join(lacking)} not found: load your cluster's SLURM module" if lacking else "is the controller up? try `scontrol ping`"
        )
        return [Finding("error", "SLURM does not answer here", mend + "; without a cluster: --profile profiles/local")]
    resources = settings.get("default-resources") or {}
    card = cards.of_resources(resources) or cards.of_names(_kinds(resources, ask)) or cards.of_this_machine()
    table = plan(experiment, card.gb if card else cards.ASSUMED_GB).set_index("stage")
    return [
        *_partition(resources, ask, table),
        *_gpu(experiment, resources, ask, card),
        *_torch(experiment),
        *_account(resources, ask, told),
        *_status(settings, ask, told),
        *_hub(experiment),
        *_disk(experiment, table),
        *_queue(experiment),
    ]


def partitions(ask: Callable[..., str | None]) -> pd.DataFrame:
    """One row per partition and kind of node: partition, default, minutes (limit), memory_mb, cpus, gres, usable."""
    rows = []
    for line in (ask("sinfo", "--noheader", "--format=%P\t%l\t%m\t%c\t%G\t%a\t%t") or "").splitlines():
        name, limit, memory, cpus, gres, up, state = (line.split("\t") + [""] * 7)[:7]
        usable = up == "up" and not re.match(r"(down|drain|drng|fail|maint|unk|inval)", state)
        rows.append(
            {
                "partition": name.rstrip("*"),
                "default": name.endswith("*"),
                "minutes": as_minutes(limit),
                "memory_mb": int(re.sub(r"\D", "", memory) or 0),
                "cpus": int(re.sub(r"\D", "", cpus) or 0),
                "gres": "" if gres == "(null)" else gres,
                "usable": usable,
            }
        )
    return pd.DataFrame(rows, columns=["partition", "default", "minutes", "memory_mb", "cpus", "gres", "usable"])


def as_minutes(text: str) -> float:
    """A time as SLURM writes it (`2-12:30:00`, `30:00`, `90`) in minutes; infinity for "infinite"."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return float("inf")
    numbers = [0, 0, 0, *map(int, parts)][-3:]
    return int(days or 0) * 1440 + numbers[0] * 60 + numbers[1] + numbers[2] / 60


def _partition(resources: dict, ask: Callable[..., str | None], table: pd.DataFrame) -> list[Finding]:
    known = partitions(ask)
    wanted = str(resources.get("slurm_partition") or "")
    names = sorted(set(known["partition"]))
    if wanted and wanted not in names:
        return [
            Finding("error", f"partition {wanted!r} is not on this cluster", f"slurm_partition in the profile: one of {', '.join(names)}")
        ]
    if not wanted and not known["default"].any():
        return [
            Finding(
                "error",
                "no partition is named and the cluster has no default",
                f"slurm_partition in the profile: one of {', '.join(names)}",
            )
        ]
    mine = known[known["partition"] == wanted] if wanted else known[known["default"]]
    name = wanted or mine["partition"].iloc[0]
    found = [Finding("ok", f"partition {name}" + ("" if wanted else " (the default)"))]
    if not mine["usable"].any():
        found.append(Finding("error", f"partition {name} has no node that is up", "`sinfo` shows why; take another partition"))
    worst = table.drop("total")
    for key, unit, mend in (
        (
            "longest_minutes",
            "minutes",
            "cut the work: jobs.seeds_per_job, jobs.adapters_per_job in the config; or take a partition with a longer limit",
        ),
        ("memory_mb", "memory_mb", "take a partition with larger nodes, or quantization: nf4"),
    ):
        stage, limit = worst[key].idxmax(), mine[unit].max()
        text = f"the stage {stage} asks for {worst[key].max():.0f} {'minutes' if unit == 'minutes' else 'MB'}, {name} allows {limit:.0f}"
        found.append(Finding("error", text, mend) if worst[key].max() > limit else Finding("ok", text))
    return found


def _offered(resources: dict, ask: Callable[..., str | None]) -> tuple[list[tuple[str, str]], pd.DataFrame]:
    """(type, number) of the cards of each sort of node in the partition, and all partitions."""
    known = partitions(ask)
    partition = str(resources.get("slurm_partition") or "")
    mine = known[known["partition"] == partition] if partition else known[known["default"]]
    return [match for gres in mine["gres"] for match in re.findall(r"gpu(?::([^:,()]+))?:(\d+)", gres)], known


def _kinds(resources: dict, ask: Callable[..., str | None]) -> list[str]:
    """Types of card that a job may get, by SLURM's names."""
    kind = str(resources.get("gpu_model") or "")
    return [kind] if kind else sorted({name for name, _ in _offered(resources, ask)[0] if name})


def _torch(experiment: Experiment) -> list[Finding]:
    """Does the installed torch go with the driver? Jobs that are given a card and see none end with an error."""
    build = cards.torch_build()
    if build is None or not costs.uses_gpu(experiment):
        return []
    found = cards.driver()
    fault = cards.disagreement(build, found)
    if fault:
        mend = "install the torch whose CUDA the driver knows (pytorch.org names the index for each), or set device: cpu for the models"
        return [Finding("error", fault, mend)]
    made = f"torch {build.version}, built for {f'CUDA {build.cuda}' if build.cuda else f'ROCm {build.rocm}'}"
    if found:
        return [Finding("ok", f"{made}; this machine's driver is {found[0]}, for CUDA {found[1]} and before")]
    oldest = cards.oldest_driver(build)
    asked = f": it must be {oldest} or newer" if oldest else ""
    return [Finding("warning", f"{made}; no driver is seen from here{asked}", "`srun --gpus=1 nvidia-smi` shows that of a compute node")]


def _gpu(experiment: Experiment, resources: dict, ask: Callable[..., str | None], card: cards.Card | None) -> list[Finding]:
    if not costs.uses_gpu(experiment):
        return [Finding("ok", "no model asks for a GPU")]
    kind = str(resources.get("gpu_model") or "")
    offered, known = _offered(resources, ask)
    elsewhere = sorted(set(known.loc[known["gres"].str.contains("gpu"), "partition"]))
    if not offered:
        mend = f"slurm_partition: one of {', '.join(elsewhere)}" if elsewhere else "no partition has one: set device: cpu for the models"
        return [Finding("error", "the models ask for a GPU and the partition has none", mend)]
    kinds = sorted({name for name, _ in offered if name})
    if kind and kind not in kinds:
        return [
            Finding(
                "error",
                f"gpu_model {kind!r} is not in the partition",
                f"gpu_model in the profile: {' or '.join(kinds) or 'leave it empty'}",
            )
        ]
    gb = card.gb if card else cards.ASSUMED_GB
    wanted = max(costs.Cost(experiment, work, gb).gpus for several in works(experiment).values() for work in several)
    most = max(int(number) for name, number in offered if not kind or name == kind)
    if most < wanted:
        return [Finding("error", f"a job asks for {wanted} GPUs, a node has {most}", "quantization: nf4, or a node with more cards")]
    found = [Finding("ok", f"GPUs: {', '.join(kinds) or 'of no named type'}, {most} in a node")]
    if len(kinds) > 1 and not kind:
        found.append(
            Finding(
                "warning",
                f"the partition has several types of GPU ({', '.join(kinds)}); a job takes any",
                "name one as gpu_model in the profile",
            )
        )
    return found + _memory_of_cards(experiment, card)


def _memory_of_cards(experiment: Experiment, card: cards.Card | None) -> list[Finding]:
    found = []
    if card is None:
        card = cards.Card(cards.ASSUMED_GB, "assumed")
        mend = f"{cards.KEY} in the profile says how much a card has"
        found.append(Finding("warning", f"how much memory the cards have is not known; {card.gb:.0f} GB are assumed", mend))
    found += [Finding("warning" if one.is_tight else "error", one.fault, one.mend) for one in misfits(experiment, card.gb)]
    return found or [Finding("ok", f"every job fits a card of {card.gb:.0f} GB ({card.source})")]


def _account(resources: dict, ask: Callable[..., str | None], told: str) -> list[Finding]:
    wanted = str(resources.get("slurm_account") or "")
    accounting = "accounting_storage/none" not in told
    if not accounting:
        return [Finding("ok", "the cluster has no accounting; an account is not needed")]
    listed = ask("sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={getpass.getuser()}", "format=account")
    accounts = sorted(set((listed or "").split()))
    if wanted and accounts and wanted not in accounts:
        return [Finding("error", f"account {wanted!r} is not yours", f"slurm_account in the profile: one of {', '.join(accounts)}")]
    if not wanted and len(accounts) > 1:
        return [
            Finding(
                "warning",
                f"you have several accounts ({', '.join(accounts)}); SLURM takes your default",
                "name one as slurm_account in the profile",
            )
        ]
    if not accounts:
        return [
            Finding("warning", "SLURM does not tell your accounts", "ask your administrators, and name one as slurm_account in the profile")
        ]
    return [Finding("ok", f"account {wanted or accounts[0]}")]


def _status(settings: dict, ask: Callable[..., str | None], told: str) -> list[Finding]:
    """How the executor asks for the state of jobs, and whether the cluster answers long enough."""
    command = settings.get("slurm-status-command", "sacct")
    first = int(settings.get("slurm-init-seconds-before-status-checks", FIRST_LOOK))
    minimum = re.search(r"^MinJobAge\s*=\s*(\d+)", told, re.MULTILINE)
    age = int(minimum[1]) if minimum else 0
    accounting = "accounting_storage/none" not in told
    found = [
        Finding(
            "ok" if accounting else "warning",
            "the cluster " + ("has accounting" if accounting else "has no accounting (sacct knows nothing)"),
        )
    ]
    if command == "squeue" and age < 3 * first:
        text = f"a finished job leaves squeue after {age} s (MinJobAge), and the executor wants {3 * first} s"
        if not accounting:
            mend = f"slurm-init-seconds-before-status-checks: {max(1, age // 3)} in the profile, or ask for a larger MinJobAge"
            found.append(Finding("error", text, mend))
        else:
            mend = "it falls back to sacct, which does not recognise `scancel`: after one, press Ctrl-C and start again"
            found.append(Finding("warning", text, mend))
    elif command == "squeue":
        found.append(Finding("ok", f"states from squeue; finished jobs stay {age} s (MinJobAge)"))
    elif not accounting:
        found.append(
            Finding(
                "error",
                "the profile asks sacct and the cluster has no accounting: the run would wait for ever",
                "slurm-status-command: squeue",
            )
        )
    else:
        found.append(
            Finding(
                "warning", "states from sacct: a job that is cancelled is not recognised and the run waits", "slurm-status-command: squeue"
            )
        )
    stand_in = Path("profiles/slurm/no-accounting")
    if not accounting and Path(shutil.which("sacct") or "/").parent.name != stand_in.name and shutil.which("sacct"):
        text = "when the controller is away for a moment, the executor asks sacct, which cannot answer here, and waits for ever"
        found.append(Finding("warning", text, f'export PATH="$PWD/{stand_in}:$PATH" before starting: a sacct that answers from squeue'))
    return found


def _hub(experiment: Experiment) -> list[Finding]:
    hub = [name for name in experiment.config.models if experiment.on_hub(name)]
    if not hub:
        return []
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    found = [
        Finding(
            "warning",
            f"models from the hub ({', '.join(hub)}) lie in {home}; compute nodes must see that folder",
            "else set HF_HOME to a shared folder",
        )
    ]
    needed = sum(size(experiment, name).parameters * 2 for name in hub)
    return found + [_room(home, needed, "the models of the hub")]


def _disk(experiment: Experiment, table: pd.DataFrame) -> list[Finding]:
    fetched = table["disk_gb"].get("fetch", 0)
    needed = (table.loc["total", "disk_gb"] - fetched + table.loc["total", "disk_while_running_gb"]) * 1e9
    return [_room(Path(experiment.config.results), needed, f"the results in {experiment.config.results}")]


def _room(place: Path, needed: float, what: str) -> Finding:
    place = place.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{what} need {needed / 1e9:.1f} GB, {place} has {free / 1e9:.1f} GB free"
    return Finding("error", text, "make room, or set `results` (or HF_HOME) to another disk") if free < needed else Finding("ok", text)


def _queue(experiment: Experiment) -> list[Finding]:
    left = starts.jobs_left(starts.run_ids(experiment.layout))
    if not left:
        return []
    names = sorted({job["name"] for job in left})
    return [
        Finding(
            "warning", f"{len(left)} jobs of an earlier start are still in the queue", "; ".join(f"scancel --name={name}" for name in names)
        )
    ]
