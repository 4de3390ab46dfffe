"""What can be claimed of other seeds and other words: one crossed test, verdicts in words, power. Tables in, tables out."""

from tli.statistics import across, added, harm, matrix_sentences, rivals, templates, translation
from tli.statistics.accuracy import transfer
from tli.statistics.analysis import analyse
from tli.statistics.inputs import Measured, Scored
from tli.statistics.lines import Evidence
from tli.statistics.mapped import Mapped, OnSelect

__all__ = [
    "Evidence",
    "Mapped",
    "Measured",
    "OnSelect",
    "Scored",
    "across",
    "added",
    "analyse",
    "harm",
    "matrix_sentences",
    "rivals",
    "templates",
    "transfer",
    "translation",
]
