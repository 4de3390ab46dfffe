"""The columns of what is measured and the versions of the stages that write them change together.

A finished unit of the store holds the columns of its day. Under the same version it would be taken for one of today, without the
metric that came since.
"""

from __future__ import annotations

from tli.io import tables
from tli.specs import STAGE_VERSIONS

VERSIONS = {"scan": 3, "evaluate": 2, "across": 1}  # with which the columns below were first written, or a later version
COLUMNS = [
    "k",
    "n",
    "cosine",
    "mismatched",
    "gap",
    "z",
    "p_at_1",
    "p_at_5",
    "mrr",
    "p_at_1_reverse",
    "p_at_5_reverse",
    "mrr_reverse",
    "csls_p_at_1",
    "csls_p_at_1_reverse",
    "mexa",
    "margin_error",
    "xcs",
    "xcs_mismatched",
    "ref_xcs",
    "ref_xcs_mismatched",
    "cka",
    "cosine_centred",
    "gap_centred",
    "cosine_no_sink",
    "gap_no_sink",
    "sink_ratio",
    "pool",
    "pool_sources",
    "pool_targets",
    "leaked",
    "chance",
    "chance_reverse",
    "string_p_at_1",
    "string_p_at_1_reverse",
]


def test_a_new_column_raises_the_versions_of_the_stages_that_write_it():
    changed = set(COLUMNS) ^ {*tables.METRICS, *tables.POOLS}
    assert not changed, (
        f"{', '.join(sorted(changed))}: finished units of {', '.join(VERSIONS)} do not agree with it. Raise these three in "
        "specs.STAGE_VERSIONS, add a row of each to docs/stage-versions.md, and write columns and versions here."
    )
    behind = [stage for stage, version in VERSIONS.items() if STAGE_VERSIONS[stage] < version]
    assert not behind, f"{', '.join(behind)}: raise the version in specs.STAGE_VERSIONS"
