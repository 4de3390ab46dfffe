from tli import config as tli_config
from tli.experiment import jobs
from tli.runtime import wrapping as running
from tli.stages import check

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
        model_settings=jobs.with_store(snakemake.params.model, snakemake.config.get("results", "results")),
        layers_asked=jobs.numbers_asked(config),
        target_modules=jobs.target_modules(config),
        output=snakemake.output[0],
        facts=facts,
    )
