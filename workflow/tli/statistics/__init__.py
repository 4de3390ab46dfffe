"""What can be claimed: tests over seeds, the paper's test within one run, verdicts in words. Tables in, tables out."""

from tli.statistics import rivals
from tli.statistics.accuracy import transfer
from tli.statistics.analysis import analyse
from tli.statistics.inputs import Measured, Scored
from tli.statistics.rivals import Mapped

__all__ = ["Mapped", "Measured", "Scored", "analyse", "rivals", "transfer"]
