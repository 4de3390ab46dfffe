"""The experiment as its user writes it: the keys, and how they are read."""

from tli.config.keys.lists import Pair
from tli.config.keys.models import Model
from tli.config.keys.top_level import Config
from tli.config.keys.training import Arm, Training
from tli.config.reading import load, parse
from tli.errors import ConfigError

__all__ = ["Arm", "Config", "ConfigError", "Model", "Pair", "Training", "load", "parse"]
