from pathlib import Path

from tli.runtime import wrapping as running
from tli.stages import statistics

results, model_pairs = snakemake.config.get("results", "results"), snakemake.params.model_pairs
with running.job("statistics", "all", results=results, log=snakemake.log[0]):
    statistics.analyse(
        parts=list(dict.fromkeys(str(Path(path).parent) for path in snakemake.input.evaluated)),
        pairs={(model, pair): f"{results}/lexicon/{pair}/pairs.tsv" for model, pair in model_pairs},
        words={(model, pair): f"{results}/scan/{model}/{pair}/words.tsv" for model, pair in model_pairs},
        checks={model: f"{results}/check/{model}.json" for model, _ in model_pairs},
        transfer=list(dict.fromkeys(str(Path(path).parent) for path in snakemake.input.get("transfer", []))),
        settings=snakemake.params.settings,
        claim_at=snakemake.params.claim_at,
        pooling=snakemake.params.pooling,
        output=str(Path(snakemake.output.tests).parent),
    )
