from tli.runtime import wrapping as running
from tli.stages import fetch

with running.job("fetch", "tasks", results=snakemake.config.get("results", "results"), log=snakemake.log[0]):
    fetch.fetch_tasks(tasks=snakemake.params.tasks, output=snakemake.output[0])
