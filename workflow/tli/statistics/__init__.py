"""What can be claimed: tests over seeds, the paper's test within one run, verdicts in words. Tables in, tables out."""

from tli.statistics.analysis import analyse
from tli.statistics.transfer import transfer

__all__ = ["analyse", "transfer"]
