from pathlib import Path

from tli.experiment import jobs
from tli.runtime import wrapping as running
from tli.stages import transfer

model, pair, part = snakemake.wildcards.model, snakemake.wildcards.pair, snakemake.wildcards.part
results = snakemake.config.get("results", "results")
runs = snakemake.params.part["runs"]
with running.job(
    "transfer",
    f"{model}.{pair}.{part}",
    results=results,
    log=snakemake.log[0],
    threads=snakemake.threads,
    gpus=snakemake.resources.get("gpu", 0),
) as facts:
    transfer.transfer(
        model=model,
        pair=pair,
        runs=[run | {"folder": f"{results}/train/{model}/{pair}/{run['run']}"} for run in runs],
        baselines=snakemake.params.part["baselines"],
        model_settings=jobs.with_store(snakemake.params.model, snakemake.config.get("results", "results")),
        **snakemake.params.settings,
        check=snakemake.input.check,
        results=results,
        output=str(Path(snakemake.output.transfer).parent),
        facts=facts,
    )
