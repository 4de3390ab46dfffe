"""A Snakemake profile, read: the one place where a cluster is described."""

from __future__ import annotations

from pathlib import Path

from tli.errors import ConfigError

PROFILE = Path("profiles/slurm/config.yaml")


def read_profile(path: Path) -> dict:
    """A profile's plain values, `default-resources` as a dict. Raises ConfigError for one that cannot be read."""
    import yaml

    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as a profile ({error})") from None
    resources = settings.get("default-resources") or {}
    if isinstance(resources, list):
        resources = dict(entry.split("=", 1) for entry in resources)
    return settings | {"default-resources": resources}
