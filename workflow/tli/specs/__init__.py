"""What a unit of work depends on, as frozen dataclasses. Each stage gets its spec; none sees the config.

They are made from the config in one place (tli.experiment.settings). `plain` gives a spec's values for a digest, a rule's
params or a record. A field that came after version 0.1.0 is `added`: it is left out where it has its default, so that what
was finished before it came is still found.
"""

from tli.specs.base import STAGE_VERSIONS, added, plain
from tli.specs.lists import WORD, LexiconSpec, SplitSpec, TemplateSpec, TextSpec
from tli.specs.measures import AcrossSpec, MapsSpec, MeasureSpec, ScanSpec, StatisticsSpec, TransferSpec, TranslateSpec
from tli.specs.models import ModelSpec
from tli.specs.training import ALL_LINEAR, AnchorSpec, Member, SelectSpec, TrainSpec, Trial, TuneSpec

__all__ = [
    "ALL_LINEAR",
    "AcrossSpec",
    "AnchorSpec",
    "LexiconSpec",
    "MapsSpec",
    "MeasureSpec",
    "Member",
    "ModelSpec",
    "STAGE_VERSIONS",
    "ScanSpec",
    "SelectSpec",
    "SplitSpec",
    "StatisticsSpec",
    "TemplateSpec",
    "TextSpec",
    "TrainSpec",
    "TransferSpec",
    "TranslateSpec",
    "Trial",
    "TuneSpec",
    "WORD",
    "added",
    "plain",
]
