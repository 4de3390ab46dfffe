"""The tiny random models of tiny.py as a fixture."""

from tiny import models  # noqa: F401
