"""Configs that are spoilt at random, from the shipped ones: whatever is written, a refusal is the config's own, with file and line."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from tli.config import Arm, Config, Model, Pair, Training, load
from tli.errors import ConfigError
from tli.experiment import Experiment

CONFIGS = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
ODD: list[Any] = [
    *(None, True, -1, 0, 2, 10**12, 1.5, float("nan"), float("inf")),
    *("", " ", "x", "best", "output", "tli", "all", "swh-eng", "é", "a/b", "../x", "1e3", "2026-01-01", "{word}", ":"),
    *([], {}, [1], [None], [2, 2], [[1]], ["best", "best"], ["swh-eng", "lin-eng"], {"a": 1}, {1: 2}, {"tli": None}, {"swh": ["{word}"]}),
]
KEYS = sorted({name for section in (Config, Model, Pair, Arm, Training) for name in section.model_fields}) + ["rounds", "shots", "folds"]


def spots(values: Any, above: Any = None, key: Any = None) -> list[tuple[Any, Any, Any]]:
    """(the container, the key or index in it, the value) of every place below the top."""
    found = [] if above is None else [(above, key, values)]
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return found + [spot for name, value in inside for spot in spots(value, values, name)]


def spoil(values: dict, rng: random.Random) -> None:
    """Put something else in one place, take it out, add a key to it, or make a list of it."""
    above, key, value = rng.choice(spots(values))
    way = rng.randrange(4)
    if way == 0:
        del above[key]
    elif way == 1 and isinstance(value, dict):
        value[rng.choice(KEYS)] = copy.deepcopy(rng.choice(ODD))
    elif way == 2:
        above[key] = [copy.deepcopy(value), copy.deepcopy(value)]
    else:
        above[key] = copy.deepcopy(rng.choice(ODD))


@pytest.mark.parametrize("seed", range(4))
def test_a_spoilt_config_is_read_or_refused_with_its_lines(seed, tmp_path):
    rng, refused, read = random.Random(seed), 0, 0
    path = tmp_path / "spoilt.yaml"
    for _ in range(80):
        values = yaml.safe_load(rng.choice(CONFIGS).read_text(encoding="utf-8"))
        for _ in range(rng.randint(1, 3)):
            if spots(values):
                spoil(values, rng)
        path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")
        try:
            assert Experiment(load(path)).cells is not None
            read += 1
        except ConfigError as error:  # anything else fails the test, with its traceback
            refused += 1
            for line in str(error).splitlines():
                assert line.startswith(f"{path}, line "), (line, path.read_text(encoding="utf-8"))
    assert refused > 40 and read > 0
