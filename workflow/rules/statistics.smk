# From the measured words of all runs to tests and verdicts.
rule statistics:
    input:
        evaluated=[
            f"{folder}/{name}"
            for folder in part_folders("evaluate")
            for name in ["similarities.parquet", "metrics.tsv", "runs.tsv", "losses.parquet", "projections.parquet"]
        ],
        pairs=expand("<results>/lexicon/{pair}/pairs.tsv", pair=CONFIG.pairs),
        transfer=[f"{folder}/transfer.parquet" for folder in part_folders("transfer")] if CONFIG.transfer.tasks else [],
        words=[f"<results>/scan/{model}/{pair}/words.tsv" for model, pair in MODEL_PAIRS],
        checks=expand("<results>/check/{model}.json", model=CONFIG.models),
    output:
        runs="<results>/statistics/runs.tsv",
        tests="<results>/statistics/tests.tsv",
        verdicts="<results>/statistics/verdicts.tsv",
        words="<results>/statistics/words.tsv",
        ranks="<results>/statistics/ranks.tsv",
        survival="<results>/statistics/survival.tsv",
        gains="<results>/statistics/gains.tsv",
    log:
        "<logs>/statistics.log",
    benchmark:
        "<benchmarks>/statistics.tsv"
    localrule: CONFIG.jobs.summaries_local
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
        gpu_model="",  # without it a default of the profile would ask for a GPU
    params:
        settings=CONFIG.statistics.model_dump(),
        claim_at=CONFIG.evaluation.hidden_states[0],
        pooling=CONFIG.pooling.evaluate[0],
        model_pairs=MODEL_PAIRS,
        asked=jobs.everything_asked(CONFIG),
        version=specs.STAGE_VERSIONS["statistics"],
    script:
        "../scripts/statistics.py"
