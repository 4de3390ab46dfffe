"""Which card a job will get, how much memory it has, and whether the installed torch can use it. No torch is imported."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from tli.errors import ConfigError

KEY = "gpu_memory_gb"  # in a profile's default-resources
# GB of cards by the name that SLURM has for them, the smallest that is sold under it.
SOLD = {
    "p100": 12,
    "v100": 16,
    "t4": 16,
    "a10": 24,
    "l4": 24,
    "a30": 24,
    "a100": 40,
    "a40": 48,
    "a6000": 48,
    "l40": 48,
    "l40s": 48,
    "mi250": 64,
    "h100": 80,
    "gh200": 96,
    "h200": 141,
    "b200": 180,
    "mi300x": 192,
}
ASSUMED_GB = 80.0  # of a card that nobody named, as cards are sold (2^30 bytes)
DRIVERS = {11: "450.80", 12: "525.60", 13: "580.65"}  # the oldest driver for a torch of this CUDA (NVIDIA: minor version compatibility)


@dataclass(frozen=True)
class Card:
    """A card's memory, GB as cards are sold (2^30 bytes), and where the figure is from."""

    gb: float
    source: str


def of_resources(resources: Mapping[str, object] | None) -> Card | None:
    """As a profile's default-resources name it. Raises ConfigError for what is no number above 0."""
    value = (resources or {}).get(KEY)
    if getattr(value, "value", value) is None:  # Snakemake's resources answer to any name, with an empty one
        return None
    try:
        number = float(str(getattr(value, "value", value)))
    except ValueError:
        number = 0.0
    if not number > 0:
        raise ConfigError(f"the profile's {KEY} is {value!r}; write the GB of one card, as 80")
    return Card(number, f"{KEY} in the profile")


def of_names(names: list[str]) -> Card | None:
    """The smallest of the types that a partition offers, as SLURM names them: `a100_80gb`, `h100`; None where one is not known."""
    found = []
    for name in names:
        sizes = re.findall(r"(\d{1,3})[ _-]?gb", name.lower()) or re.findall(r"[_-](\d{2,3})g?$", name.lower())
        sold = [gb for known, gb in SOLD.items() if known in re.split(r"[^a-z\d]+", name.lower())]
        if not sizes and not sold:
            return None
        found.append(
            Card(float(sizes[-1]) if sizes else float(sold[0]), f"the type {name}" + ("" if sizes else ", the smallest sold by that name"))
        )
    return min(found, key=lambda card: card.gb, default=None)


def of_this_machine() -> Card | None:
    """The smallest card that nvidia-smi shows here."""
    listed = _nvidia_smi("--query-gpu=memory.total", "--format=csv,noheader,nounits")
    sizes = [float(line) / 1024 for line in listed.splitlines() if re.fullmatch(r"[\d.]+", line.strip())]
    return Card(min(sizes), "nvidia-smi") if sizes else None


@dataclass(frozen=True)
class Build:
    """The torch that is installed: its version, and the CUDA or ROCm that it was built for ("" for processors only)."""

    version: str
    cuda: str
    rocm: str


def torch_build() -> Build | None:
    """Read from torch's own file, which says more than the version does; None where torch is not installed."""
    place = util.find_spec("torch")
    if place is None or not place.origin:
        return None
    text = (Path(place.origin).parent / "version.py").read_text(encoding="utf-8")
    versions = {name: re.search(rf"^{name}\s*(?::[^=]+)?=\s*['\"]([\d.]+)", text, re.MULTILINE) for name in ("cuda", "hip")}
    return Build(metadata.version("torch"), *(match[1] if match else "" for match in versions.values()))


def driver() -> tuple[str, str] | None:
    """The driver's version and the newest CUDA that it knows, as nvidia-smi of this machine says; None without a card here."""
    text = _nvidia_smi()
    version, cuda = (re.search(rf"{name} Version:\s*([\d.]+)", text) for name in ("Driver", "CUDA"))
    return (version[1], cuda[1]) if version and cuda else None


def disagreement(build: Build, found: tuple[str, str] | None) -> str:
    """What keeps this torch from the cards, "" where nothing is known to. A driver serves all of its CUDA's major version and before."""
    if not build.cuda and not build.rocm:
        return f"torch {build.version} is built for processors only"
    if found and build.cuda and int(build.cuda.split(".")[0]) > int(found[1].split(".")[0]):
        return f"torch {build.version} is built for CUDA {build.cuda}, the driver ({found[0]}) knows CUDA {found[1]} at most"
    return ""


def oldest_driver(build: Build) -> str:
    """The oldest driver that this build can use, "" where that is not known."""
    return DRIVERS.get(int(build.cuda.split(".")[0]), "") if build.cuda else ""


def _nvidia_smi(*words: str) -> str:
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(["nvidia-smi", *words], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
