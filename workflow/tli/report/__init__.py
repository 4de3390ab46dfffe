"""Tables become pictures and one page: `build` writes report/ from the workflow's tables. No torch, no Snakemake."""

from tli.report.gallery import FIGURES, figure_name
from tli.report.page import build

__all__ = ["FIGURES", "build", "figure_name"]
