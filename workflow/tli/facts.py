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

# how a column of tables.METRICS is written for people
METRIC_LABELS = {
    "cosine": "cosine",
    "mismatched": "cosine of mismatched pairs",
    "gap": "gap",
    "z": "z",
    "p_at_1": "P@1",
    "p_at_5": "P@5",
    "mrr": "MRR",
    "p_at_1_reverse": "P@1 (target to source)",
    "p_at_5_reverse": "P@5 (target to source)",
    "mrr_reverse": "MRR (target to source)",
    "csls_p_at_1": "CSLS P@1",
    "csls_p_at_1_reverse": "CSLS P@1 (target to source)",
    "mexa": "MEXA",
    "margin_error": "margin error (xsim)",
    "xcs": "xCS (CLIPScore-style)",
    "xcs_mismatched": "xCS, wrong pairs",
    "ref_xcs": "RefxCS",
    "ref_xcs_mismatched": "RefxCS, wrong pairs",
    "cka": "linear CKA",
    "cosine_centred": "cosine, centred",
    "gap_centred": "gap, centred",
    "cosine_no_sink": "cosine, no rogue dimensions",
    "gap_no_sink": "gap, no rogue dimensions",
    "sink_ratio": "sink ratio",
}


def metric_label(name: str) -> str:
    """How a metric is written for people; a name that is not known stands as it is."""
    return METRIC_LABELS.get(name, name)
