from tli.stages import check, running

model = snakemake.wildcards.model
with running.job(
    "check", model, results=snakemake.params.results, log=snakemake.log[0], threads=snakemake.threads
) as facts:
    check.check(
        model=model,
        model_settings=snakemake.params.model,
        layers_asked=snakemake.params.layers_asked,
        target_modules=snakemake.params.target_modules,
        languages=snakemake.params.languages,
        output=snakemake.output[0],
        facts=facts,
    )
