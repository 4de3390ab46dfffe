"""What each metric is called, which way is better and where its formula comes from: the one place where this stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure of tables.METRICS, or one of tables.POOLS that stands beside it, for people."""

    label: str
    meaning: str
    better: int  # +1 higher is better, -1 lower is better, 0 neither by itself
    source: str = ""  # whose formula it is, "" where it needs no source


PAPER = "arXiv:2506.15415"
ANISOTROPY = "Ethayarajh 2019, arXiv:1909.00512"
CSLS = "Conneau et al. 2018, arXiv:1710.04087"
MEXA = "Kargaran et al. 2024, arXiv:2410.05873"
MARGIN = "Artetxe and Schwenk 2019, arXiv:1811.01136"
CLIPSCORE = "Hessel et al. 2021, arXiv:2104.08718"
CKA = "Kornblith et al. 2019, arXiv:1905.00414"
ROGUE = "Timkey and van Schijndel 2021, arXiv:2109.04404"
SINK = "Sun et al. 2024, arXiv:2402.17762"

_CSLS_MEANING = "P@1 where each cosine is corrected for hubs: 2 cos - mean cosine of either word to its k nearest neighbours."
_SPELLING = "Share of words whose right target is spelt most like them: what cognates and loans give for nothing; ties count against."
_P_AT_1 = Metric("P@1", "Share of words whose nearest target by cosine is a right one; ties count against.", +1, CSLS)
_P_AT_5 = Metric("P@5", "Share of words with a right target among the 5 nearest.", +1, CSLS)
_MRR = Metric("MRR", "Mean of 1 / rank of the best right target.", +1, CSLS)
_CSLS = Metric("CSLS P@1", _CSLS_MEANING, +1, CSLS)
_XCS = "2.5 max(cosine, 0), not clipped above. No image is involved: the form of CLIPScore is applied to two words."
_REF_XCS = "Harmonic mean of xCS and the best cosine to another accepted translation; undefined without one."
_COSINE = "Mean cosine of a word and its translation. Alone it proves nothing: one constant added to every vector raises it."
_SINK = "Median norm of token 0 / median norm of the other tokens. Above 10 a pooled token 0 rules the mean."


def _reverse(metric: Metric) -> Metric:
    return Metric(f"{metric.label} (target to source)", f"{metric.label}, from target to source.", metric.better, metric.source)


# The figures of a split, in the order of their columns (tables.METRICS).
METRICS = {
    "cosine": Metric("cosine", _COSINE, 0, PAPER),
    "mismatched": Metric("mismatched cosine", "Mean cosine of a word and the wrong targets: what any two words score.", 0, ANISOTROPY),
    "gap": Metric("gap", "cosine - mismatched: how much nearer a translation is than a wrong target.", +1, ANISOTROPY),
    "z": Metric("z", "(cosine to the translation - mean over wrong targets) / standard deviation over wrong targets.", +1),
    "p_at_1": _P_AT_1,
    "p_at_5": _P_AT_5,
    "mrr": _MRR,
    "p_at_1_reverse": _reverse(_P_AT_1),
    "p_at_5_reverse": _reverse(_P_AT_5),
    "mrr_reverse": _reverse(_MRR),
    "csls_p_at_1": _CSLS,
    "csls_p_at_1_reverse": _reverse(_CSLS),
    "mexa": Metric("MEXA", "Share of pairs whose cosine is above all others of its row and of its column.", +1, MEXA),
    "margin_error": Metric(
        "margin error (xsim)",
        "Share of words (or sentences) whose best target by the ratio margin (k = 4) is wrong, among all of the pool.",
        -1,
        MARGIN,
    ),
    "xcs": Metric("xCS (CLIPScore-style)", _XCS, 0, CLIPSCORE),
    "xcs_mismatched": Metric("xCS, wrong pairs", "The same for wrong pairs; xCS must be read beside it.", 0, CLIPSCORE),
    "ref_xcs": Metric("RefxCS", _REF_XCS, 0, CLIPSCORE),
    "ref_xcs_mismatched": Metric("RefxCS, wrong pairs", "The same for wrong pairs.", 0, CLIPSCORE),
    "cka": Metric("linear CKA", "Similarity of the two sides' geometry, debiased.", +1, CKA),
    "cosine_centred": Metric("cosine, centred", "After the mean of all words of both sides is taken off.", +1, ANISOTROPY),
    "gap_centred": Metric("gap, centred", "The gap after centring.", +1, ANISOTROPY),
    "cosine_no_sink": Metric("cosine, no rogue dimensions", "Without the dimensions that dominate the norm.", 0, ROGUE),
    "gap_no_sink": Metric("gap, no rogue dimensions", "The gap without the dimensions that dominate the norm.", +1, ROGUE),
    "sink_ratio": Metric("sink ratio", _SINK, 0, SINK),
}
# What stands beside them in a pool (tables.POOLS).
BESIDE = {
    "chance": Metric("chance", "P@1 of guessing: accepted / pool.", 0),
    "string_p_at_1": Metric("P@1 by spelling", _SPELLING, 0),
}
BESIDE |= {f"{name}_reverse": _reverse(metric) for name, metric in BESIDE.items()}


def metric_label(name: str) -> str:
    """A metric's name for people; a name that is none of ours is given back with spaces."""
    known = METRICS.get(name) or BESIDE.get(name)
    return known.label if known else name.replace("_", " ")


def is_in_template(pooling: str) -> bool:
    """Whether the name of a pooling is that of words in a template (specs.TemplateSpec.names)."""
    return "@" in str(pooling)


def arm_label(arm: str, rank: str) -> str:
    """An arm for people: "tli, rank 16", or "full-ft" for one that has no rank.

    >>> arm_label("tli", "16"), arm_label("full-ft", "full")
    ('tli, rank 16', 'full-ft')
    """
    return f"{arm}, rank {rank}" if rank.isdigit() else arm
