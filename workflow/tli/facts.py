"""Facts that several rooms share, each standing here once: limits, what metrics, contrasts and verdicts are called."""

from __future__ import annotations

# Limits
FEW_WORDS = 60  # pairs of words: below this many a test over them is underpowered
FEW_SEEDS = 5  # below this many no claim can rest on the seeds
WEAK_RETRIEVAL = 0.05  # P@1: a model that finds fewer held-out words has hardly anything to carry anywhere
SINK_LIMIT = 10.0  # median norm of token 0 over that of the words, from where BOS rules a vector it is pooled into
GUESSING = 0.5  # of the perplexity of uniform guessing: above this share a model predicts about nothing
ALIKE = 0.9  # mean cosine of wrong pairs above which a cosine says nothing
SURE_CHOICE = 0.8  # share of word bootstraps that the best hidden state should win

# Splits, tests, contrasts
SPLITS = {"train": "train (seen)", "heldout": "held-out (unseen)", "select": "select"}
CONFIRMATORY, WITHIN_RUN = "confirmatory", "within one run"  # levels of tests
PAIRED_T = "paired t over words"
AFTER_BEFORE, REAL_PLACEBO = "after - before", "real - placebo"

# Metrics: how each is written for people
METRIC_LABELS = {
    "cosine": "cosine",
    "mismatched": "mismatched cosine",
    "gap": "gap",
    "z": "z",
    "p_at_1": "P@1",
    "p_at_5": "P@5",
    "mrr": "MRR",
    "csls_p_at_1": "CSLS P@1",
    "p_at_1_reverse": "P@1 (target to source)",
    "p_at_5_reverse": "P@5 (target to source)",
    "mrr_reverse": "MRR (target to source)",
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
    "survival": "survival",
    "dz": "d_z",
    "d_av": "d_av",
    "detectable": "smallest detectable",
}

# Verdicts: name -> tone. A new verdict is one line here; a name that is not here is shown as "open".
GOOD, BAD, OPEN = "good", "bad", "open"
VERDICT_TONES = {
    "failed": BAD,
    "too few seeds": OPEN,
    "worse": BAD,
    "aligns better": GOOD,
    "better than before, no placebo": OPEN,
    "better than placebo only because the placebo harms": OPEN,
    "memorised (train only)": OPEN,
    "raised all cosines alike": OPEN,
    "no detectable effect": OPEN,
}


def metric_label(metric: str) -> str:
    """A metric's name for people; one that is not listed is its own name without underscores."""
    return METRIC_LABELS.get(metric, metric.replace("_", " "))


def verdict_tone(verdict: str) -> str:
    """ "good", "bad" or "open": what a verdict's colour says beside its words."""
    return VERDICT_TONES.get(verdict, OPEN)
