from tli.stages import fetch, running

with running.job("fetch", "tasks", results=snakemake.config.get("results", "results"), log=snakemake.log[0]):
    fetch.fetch_tasks(tasks=snakemake.params.tasks, output=snakemake.output[0])
