# One job per model and pair, cut by `jobs.adapters_per_job`: one load of the model serves the baseline and all adapters.
rule evaluate:
    input:
        pairs="<results>/lexicon/{pair}/pairs.tsv",
        check="<results>/check/{model}.json",
        choice="<results>/scan/{model}/{pair}/best.tsv",
        trained=lambda wildcards: left_behind("evaluate", wildcards),
    output:
        multiext(
            "<results>/evaluate/{model}/{pair}/{part}/",
            similarities="similarities.parquet",
            metrics="metrics.tsv",
            projections="projections.parquet",
            runs="runs.tsv",
            losses="losses.parquet",
        ),
    log:
        "<logs>/evaluate/{model}.{pair}.{part}.log",
    benchmark:
        "<benchmarks>/evaluate/{model}.{pair}.{part}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        gpu=lambda wildcards: costs.needs_gpu(CONFIG, wildcards.model),
        mem_mb=lambda wildcards, attempt: attempt * cost_of_part("evaluate", wildcards)["memory_mb"],
        runtime=lambda wildcards, attempt: attempt * cost_of_part("evaluate", wildcards)["minutes"],
    params:
        model=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
        settings=jobs.evaluation_settings(CONFIG),
        part=lambda wildcards: parts_of("evaluate", wildcards.model, wildcards.pair)[wildcards.part],
        layers_asked=jobs.layers_asked(CONFIG),
        mapped=lambda wildcards: mapped_of(wildcards.model, wildcards.pair),
        trained=lambda wildcards: jobs.trained_with(
            CONFIG, parts_of("evaluate", wildcards.model, wildcards.pair)[wildcards.part]
        ),
        lexicon=lambda wildcards: jobs.lexicon_settings(CONFIG, wildcards.pair),
        version=specs.STAGE_VERSIONS["evaluate"],
    script:
        "../scripts/evaluate.py"
