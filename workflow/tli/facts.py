"""Facts that several rooms share, each stated once: thresholds, the names of contrasts and verdicts, labels of metrics."""

from __future__ import annotations

FEWEST_QUERIES = 60  # a held-out split with fewer words is underpowered
SINK_LIMIT = 10.0  # median norm of token 0 over that of the words, from where a pooled token 0 rules the vector
POWER = 0.8  # "would have been found" means with this probability

# the config's name of a correction: the column of the adjusted p's
CORRECTIONS = {"holm": "p_holm", "benjamini-hochberg": "p_bh", "benjamini-yekutieli": "p_by"}

AFTER_BEFORE = "after - before"
REAL_PLACEBO = "real - placebo"
PLACEBO_BEFORE = "placebo - before"
BOTH_CONTRASTS = "after - before and real - placebo, the larger p"

FAILED = "failed"
TOO_FEW = "too few seeds"
WORSE = "worse"
BETTER = "aligns better"
NO_PLACEBO = "better than before, no placebo"
PLACEBO_HARMS = "better than placebo only because the placebo harms"
MEMORISED = "memorised (train only)"
ALIKE = "raised all cosines alike"
NOTHING = "no detectable effect"
VERDICTS = [FAILED, TOO_FEW, WORSE, BETTER, NO_PLACEBO, PLACEBO_HARMS, MEMORISED, ALIKE, NOTHING]  # in their order
