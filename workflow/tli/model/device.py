"""Where a model computes, what that is called, and how much memory was used there. torch is imported when asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tli.errors import ModelError

if TYPE_CHECKING:
    import torch

GIVEN = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES")  # set where a job was given a card
NONE = ("", "-1", "NoDevFiles")  # what they hold where it was not


def resolve_device(name: str) -> torch.device:
    """torch.device for "auto", "cpu" or "cuda".

    Raises ModelError where a card is asked for, or was given to the job, and torch sees none: on the processor the job would
    take days, and nobody would know why.
    """
    import torch

    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    given = [f"{key}={os.environ[key]}" for key in GIVEN if os.environ.get(key, "") not in NONE]
    if given:
        raise ModelError(
            f"the job was given a GPU ({', '.join(given)}) and torch sees none: {_why_no_card()}. Fix that, or set device: cpu to "
            "compute on the processor"
        )
    if name == "cuda":
        raise ModelError("device: cuda is asked for and no GPU is visible; ask for `gpu: 1` in the job, or set device: auto")
    return torch.device("cpu")


def _why_no_card() -> str:
    """Why torch sees no card, as far as it says: a build for processors, a driver that is too old."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"this torch ({torch.__version__}) is built for processors only; install the build for your driver's CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return (
            f"{(str(error).splitlines() or [type(error).__name__])[0].rstrip('.')} (torch {torch.__version__}, CUDA {torch.version.cuda})"
        )
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no device; does `nvidia-smi` show one in this job?"


def device_name(device: torch.device) -> str:
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
                free.append(int((folder / limit).read_text()) - int((folder / used).read_text()) + _pages_of_files(folder))
            except (OSError, ValueError):  # "max" is no limit
                continue
    return max(0, min(free))


def _pages_of_files(group: Path) -> int:
    """Bytes of a job's memory that are copies of what is on disk, given up when they are needed: a streamed model fills it with them."""
    try:
        counted = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        below = "total_" if "total_inactive_file" in counted else ""  # version 1 counts the groups below apart
        return int(counted[below + "inactive_file"]) + int(counted[below + "active_file"])
    except (OSError, KeyError, ValueError):
        return 0


def upload(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A numpy array as a tensor where a model computes. The card is not waited for: the driver has copied the array when this returns."""
    import torch

    return torch.from_numpy(array).to(device, non_blocking=True)


def free_on(device: torch.device) -> float:
    """Bytes that are free where something computes: on the card, with what torch keeps there for later, or in main memory."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory did not suffice, the card's or the machine's."""
    import torch

    text = str(error)
    words = ("out of memory", "not enough memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(part in text for part in words)
    )
