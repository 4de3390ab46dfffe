"""Facts that several rooms share, each stated once: thresholds, the names of contrasts and verdicts, labels of metrics."""

from __future__ import annotations

# Limits
FEWEST_QUERIES = 60  # a held-out split with fewer words is underpowered
FEW_SEEDS = 5  # below this many no claim can rest on the seeds
WEAK_RETRIEVAL = 0.05  # P@1: a model that finds fewer held-out words has hardly anything to carry anywhere
SINK_LIMIT = 10.0  # median norm of token 0 over that of the words, from where a pooled token 0 rules the vector
GUESSING = 0.5  # of the perplexity of uniform guessing: above this share a model predicts about nothing
HIGH_MISMATCH = 0.9  # mean cosine of wrong pairs above which a cosine says nothing
SURE_CHOICE = 0.8  # share of word bootstraps that the best hidden state should win
COSINE_TIE = 3e-7  # what float32 cosines cannot tell apart (measured error 2e-7)
POWER = 0.8  # "would have been found" means with this probability

# the config's name of a correction: the column of the adjusted p's
CORRECTIONS = {"holm": "p_holm", "benjamini-hochberg": "p_bh", "benjamini-yekutieli": "p_by"}

JOINED = " + "  # between the pairs of a joint training, in every column `trained_on`

# What to do where a file lacks what this version writes
OLDER = "an older version wrote it: let Snakemake run again with the same config"

# Splits, tests, contrasts
SPLITS = {"train": "train (seen)", "heldout": "held-out (unseen)", "select": "select"}
CONFIRMATORY, WITHIN_RUN = "confirmatory", "within one run"  # levels of tests
PAIRED_T = "paired t over words"
AFTER_BEFORE = "after - before"
REAL_PLACEBO = "real - placebo"
PLACEBO_BEFORE = "placebo - before"
AFTER_FEWSHOT = "after - untrained with most shots"
BOTH_CONTRASTS = "after - before and real - placebo, the larger p"

# the verdicts, in their order: the first that fits is given
FAILED = "failed"
TOO_FEW = "too few seeds or units"
WORSE = "worse"
BETTER = "aligns better"
UNCORRECTED = "rose, but not after correction"
NO_PLACEBO = "better than before, no placebo"
PLACEBO_HARMS = "better only because the placebo harms"
BELOW_PLACEBO = "below its placebo"
LIKE_PLACEBO = "rose as its placebo did"
MEMORISED = "memorised"
ALIKE = "raised all cosines alike"
NOTHING = "no detectable effect"
VERDICTS = [
    FAILED,
    TOO_FEW,
    WORSE,
    BETTER,
    UNCORRECTED,
    NO_PLACEBO,
    PLACEBO_HARMS,
    BELOW_PLACEBO,
    LIKE_PLACEBO,
    MEMORISED,
    ALIKE,
    NOTHING,
]
ROSE = (BETTER, UNCORRECTED, NO_PLACEBO, LIKE_PLACEBO)  # the verdicts under which the lines below stand

# What a cell of a cross-pair matrix says; the verdict that it rests on stands beside it.
HELPED, HURT, UNDECIDED = "helped", "hurt", "not decided"
STATUSES = [HELPED, HURT, UNDECIDED, TOO_FEW, FAILED]
STATUS_OF = {BETTER: HELPED, NO_PLACEBO: HELPED, WORSE: HURT, TOO_FEW: TOO_FEW, FAILED: FAILED}  # any other verdict decides nothing

MAP_PREFIX, MAP_SHUFFLED = "map-", "-shuffled"  # of a free map's arm, and of its twin's on shuffled pairs
MAP_INSIDE = "-inside"  # ends the arm of a free map that stands inside the model

BEATS_MAP = "beats the best free map at the output"
ADDS_TO_MAP = "adds what no map can"
LEAVES_WHOLE = "leaves the model whole"
SHOWS_IN_SPEECH = "shows in what the model says"
LINES = [BEATS_MAP, ADDS_TO_MAP, LEAVES_WHOLE, SHOWS_IN_SPEECH]
YES, NO, NOT_DECIDED, NOT_MEASURED = "yes", "no", "not decided", "not measured"

# What a verdict's colour says beside its words; one that is not here is open.
GOOD, BAD, OPEN = "good", "bad", "open"
VERDICT_TONES = {FAILED: BAD, WORSE: BAD, BELOW_PLACEBO: BAD, BETTER: GOOD}


def languages_of_name(pair: str) -> list[str]:
    """The languages that a pair's name tells: those of swh-eng, and of swh-eng.flores, a further list of the same pair."""
    return pair.partition(".")[0].split("-")


def verdict_tone(verdict: str) -> str:
    """One of "good", "bad", "open"."""
    return VERDICT_TONES.get(verdict, OPEN)
