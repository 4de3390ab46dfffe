"""The report's figures, by subject. Each function takes tables and returns a matplotlib Figure."""

from tli.report.figures.across import matrix
from tli.report.figures.effects import FOREST_ROWS, forest, heat, rank_gain
from tli.report.figures.ladder import LADDER_ROWS, NAMED_MARKS, harm_gain, ladder
from tli.report.figures.layers import alignment_curve, layer_curve
from tli.report.figures.projections import NAMED_PAIRS, projection
from tli.report.figures.training import training_curves
from tli.report.figures.transfer import transfer_against_gain, transfer_by_rank, transfer_change
from tli.report.figures.words import before_after, gained_and_lost, gap_against_cosine

__all__ = [
    "FOREST_ROWS",
    "LADDER_ROWS",
    "NAMED_MARKS",
    "NAMED_PAIRS",
    "alignment_curve",
    "before_after",
    "forest",
    "gained_and_lost",
    "gap_against_cosine",
    "harm_gain",
    "heat",
    "ladder",
    "layer_curve",
    "matrix",
    "projection",
    "rank_gain",
    "training_curves",
    "transfer_against_gain",
    "transfer_by_rank",
    "transfer_change",
]
