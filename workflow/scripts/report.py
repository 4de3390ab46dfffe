from tli.stages import report, running

with running.job("report", "all", results=snakemake.params.results, log=snakemake.log[0]):
    report.report(config=snakemake.params.config, results=snakemake.params.results, output=snakemake.params.output)
