"""Two matrices of word vectors in, figures out: how well the hidden states of two languages align.

`candidates` says once per lexicon which forms are compared, `pools` which of them training cannot touch; `evaluate` and
`evaluate_pool` give the rows and the figures of one hidden state; `per_pair`, `summary` and `geometry` are their parts.
`labels` says what each figure is called.
"""

from tli.metrics.candidates import Candidates, candidates, neighbourhood
from tli.metrics.geometry import debiased_cka, geometry
from tli.metrics.pooled import Questions, evaluate_pool
from tli.metrics.pools import Pool, untrained, whole_list
from tli.metrics.retrieval import per_pair
from tli.metrics.summary import evaluate, summary
from tli.metrics.vectors import Vectors

__all__ = [
    "Candidates",
    "Pool",
    "Questions",
    "Vectors",
    "candidates",
    "debiased_cka",
    "evaluate",
    "evaluate_pool",
    "geometry",
    "neighbourhood",
    "per_pair",
    "summary",
    "untrained",
    "whole_list",
]
