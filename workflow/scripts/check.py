from tli import config as tli_config
from tli import jobs
from tli.stages import check, running

model = snakemake.wildcards.model
config = tli_config.parse({key: value for key, value in snakemake.config.items() if key != "pathvars"})
with running.job(
    "check",
    model,
    results=snakemake.config.get("results", "results"),
    log=snakemake.log[0],
    threads=snakemake.threads,
    gpus=snakemake.resources.get("gpu", 0),
) as facts:
    check.check(
        model=model,
        model_settings=running.with_store(snakemake.params.model, snakemake.config.get("results", "results")),
        layers_asked=jobs.numbers_asked(config),
        target_modules=jobs.target_modules(config),
        output=snakemake.output[0],
        facts=facts,
    )
