"""Where a model computes, what that is called, and how much memory was used there. torch is imported when asked."""

from __future__ import annotations

import os
from pathlib import Path

from tli.errors import ModelError


def resolve_device(name: str):
    """torch.device for "auto", "cpu" or "cuda"."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("device: cuda is asked for and no GPU is visible; ask for `gpu: 1` in the job, or set device: auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device) -> str:
    """Name of a torch device for people, "CPU" or the GPU's own."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return "CPU"


def peak_memory_mib() -> int:
    """Highest resident memory of this process so far, MiB; getrusage's where the system has no better."""
    import resource

    try:  # getrusage begins with the parent's peak
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: the machine's, or less where a cluster's job has a limit."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
        free = [int(lines["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):
        pass
    group = root / "sys/fs/cgroup"
    try:
        job = (root / "proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2].strip().lstrip("/")
    except (OSError, IndexError):
        job = ""
    for folder in (group / job, group, group / "memory" / job):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            try:
                free.append(int((folder / limit).read_text()) - int((folder / used).read_text()))
            except (OSError, ValueError):  # "max" is no limit
                continue
    return max(0, min(free))
