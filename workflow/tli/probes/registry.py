"""Which probes each stage asks. A new one is a line here."""

from __future__ import annotations

from tli.probes.across import AcrossProbe
from tli.probes.base import Answer, Probe
from tli.probes.perplexity import PerplexityProbe
from tli.probes.scoring import TaskProbe
from tli.probes.templates import TemplateProbe
from tli.probes.text import TextProbe
from tli.probes.translate import TranslateProbe
from tli.probes.words import WordsProbe

PROBES: dict[str, tuple[type[Probe], ...]] = {
    "evaluate": (WordsProbe, TemplateProbe),
    "across": (AcrossProbe,),
    "transfer": (PerplexityProbe, TextProbe, TaskProbe, TranslateProbe),
}


def answers(stage: str) -> dict[str, Answer]:
    """The tables of a stage's probes, by the name of the answer."""
    return {name: answer for probe in PROBES[stage] for name, answer in probe.answers.items()}
