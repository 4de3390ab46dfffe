"""Tables become pictures and one page: `build` writes report/ from one ReportInput. No torch, no Snakemake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tli.report.names import FIGURES, MATRIX, figure_name

if TYPE_CHECKING:
    from pathlib import Path

    from tli.report.input import ReportInput

__all__ = ["FIGURES", "MATRIX", "build", "figure_name"]


def build(report: ReportInput, output: Path | str) -> None:
    """page.build; what draws is imported only then, since rule files ask this room for no more than the figures' names."""
    from tli.report import page

    page.build(report, output)
