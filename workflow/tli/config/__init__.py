"""The experiment as its user writes it: the keys, and how they are read."""

from tli.config.keys import Arm, Config, Model, Pair, Training
from tli.config.reading import load, parse
from tli.errors import ConfigError

__all__ = ["Arm", "Config", "ConfigError", "Model", "Pair", "Training", "load", "parse"]
