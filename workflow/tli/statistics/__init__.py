"""What can be claimed: tests over seeds, the paper's test within one run, verdicts in words. Tables in, tables out."""

from tli.statistics.accuracy import transfer
from tli.statistics.analysis import analyse
from tli.statistics.inputs import Measured, Scored

__all__ = ["Measured", "Scored", "analyse", "transfer"]
