from pathlib import Path

from tli.stages import running, train

names = dict(snakemake.wildcards)
seeds = snakemake.params.seeds
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
        model_settings=snakemake.params.model,
        settings=snakemake.params.settings,
        together=snakemake.params.together,
        checkpoint_minutes=snakemake.params.checkpoint_minutes,
        pairs=snakemake.input.pairs,
        check=snakemake.input.check,
        choice=snakemake.input.get("choice") or None,
        results=snakemake.config.get("results", "results"),
        outputs={seed: str(Path(path).parent) for seed, path in zip(seeds, snakemake.output.runs, strict=True)},
        facts=facts,
    )
