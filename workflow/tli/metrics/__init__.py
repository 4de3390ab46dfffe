"""Two matrices of word vectors in, figures out: how well the hidden states of two languages align.

`candidates` says once per lexicon which forms are compared; `evaluate` gives the rows and the figures of one hidden
state; `per_pair`, `summary` and `geometry` are its parts. `labels` says what each figure is called.
"""

from tli.metrics.candidates import Candidates, candidates, neighbourhood
from tli.metrics.geometry import debiased_cka, geometry
from tli.metrics.retrieval import per_pair
from tli.metrics.summary import evaluate, summary
from tli.metrics.vectors import Vectors

__all__ = [
    "Candidates",
    "Vectors",
    "candidates",
    "debiased_cka",
    "evaluate",
    "geometry",
    "neighbourhood",
    "per_pair",
    "summary",
]
