"""The experiment as its user writes it: keys, how they are read, and the protocol that they amount to."""

from tli.config.keys import Arm, Config, Model, Pair, Training
from tli.config.protocols import protocol
from tli.config.reading import ConfigError, load, parse

__all__ = ["Arm", "Config", "ConfigError", "Model", "Pair", "Training", "load", "parse", "protocol"]
