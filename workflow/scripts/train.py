from pathlib import Path

from tli import config as tli_config
from tli.experiment import jobs
from tli.runtime import wrapping as running
from tli.stages import train

names = dict(snakemake.wildcards)
seeds = snakemake.params.seeds
# Not among the params: what changes no result must not make Snakemake train again.
how = tli_config.parse({key: value for key, value in snakemake.config.items() if key != "pathvars"}).jobs
with running.job(
    "train",
    ".".join([*names.values(), f"seeds-{seeds[0]}-{seeds[-1]}"]),
    results=snakemake.config.get("results", "results"),
    log=snakemake.log[0],
    threads=snakemake.threads,
    gpus=snakemake.resources.get("gpu", 0),
) as facts:
    train.train(
        **names,
        seeds=seeds,
        model_settings=jobs.with_store(snakemake.params.model, snakemake.config.get("results", "results")),
        settings=snakemake.params.settings,
        together=how.seeds_together,
        checkpoint_minutes=how.checkpoint_minutes,
        pairs=snakemake.input.pairs,
        check=snakemake.input.check,
        choice=snakemake.input.get("choice") or None,
        results=snakemake.config.get("results", "results"),
        outputs={seed: str(Path(path).parent) for seed, path in zip(seeds, snakemake.output.runs, strict=True)},
        facts=facts,
    )
