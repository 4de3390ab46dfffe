from tli.runtime import wrapping as running
from tli.stages import fetch

name = f"{snakemake.wildcards.pair}.{snakemake.wildcards.number}"
with running.job("fetch", name, results=snakemake.config.get("results", "results"), log=snakemake.log[0]):
    fetch.fetch_lexicon(address=snakemake.params.address, sha256=snakemake.params.sha256, output=snakemake.output[0])
