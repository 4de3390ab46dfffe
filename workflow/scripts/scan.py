from tli.experiment import jobs
from tli.runtime import wrapping as running
from tli.stages import scan

model, pair = snakemake.wildcards.model, snakemake.wildcards.pair
with running.job(
    "scan",
    f"{model}.{pair}",
    results=snakemake.config.get("results", "results"),
    log=snakemake.log[0],
    threads=snakemake.threads,
    gpus=snakemake.resources.get("gpu", 0),
) as facts:
    scan.scan(
        model=model,
        pair=pair,
        model_settings=jobs.with_store(snakemake.params.model, snakemake.config.get("results", "results")),
        pairs=snakemake.input.pairs,
        **snakemake.params.settings,
        output=snakemake.output.scan,
        choice=snakemake.output.choice,
        words=snakemake.output.words,
        audit=snakemake.output.audit,
        facts=facts,
    )
