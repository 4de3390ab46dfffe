from pathlib import Path

from tli.runtime import wrapping as running
from tli.stages import report

with running.job("report", "all", results=snakemake.config.get("results", "results"), log=snakemake.log[0]):
    report.report(
        config=snakemake.params.config, results=snakemake.config.get("results", "results"), output=str(Path(snakemake.output.page).parent)
    )
