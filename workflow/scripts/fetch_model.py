from tli.runtime import wrapping as running
from tli.stages import fetch

with running.job("fetch", snakemake.wildcards.model, results=snakemake.config.get("results", "results"), log=snakemake.log[0]):
    fetch.fetch_model(settings=snakemake.params.settings, output=snakemake.output[0])
