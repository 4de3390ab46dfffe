# What else the training changed: the harness's tasks, item by item, and perplexity, before and after.
rule transfer:
    input:
        check="<results>/check/{model}.json",
        trained=lambda wildcards: left_behind("transfer", wildcards),
        tasks="<results>/fetched/tasks.json" if CONFIG.transfer.source == "hub" else [],
    output:
        multiext(
            "<results>/transfer/{model}/{pair}/{part}/",
            transfer="transfer.parquet",
            generation="generation.tsv",
            perplexity="perplexity.tsv",
        ),
    log:
        "<logs>/transfer/{model}.{pair}.{part}.log",
    benchmark:
        "<benchmarks>/transfer/{model}.{pair}.{part}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        gpu=lambda wildcards: costs.needs_gpu(CONFIG, wildcards.model),
        mem_mb=lambda wildcards, attempt: attempt * cost_of_part("transfer", wildcards)["memory_mb"],
        runtime=lambda wildcards, attempt: attempt * cost_of_part("transfer", wildcards)["minutes"],
    params:
        model=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
        settings=jobs.transfer_settings(CONFIG),
        part=lambda wildcards: parts_of("transfer", wildcards.model, wildcards.pair)[wildcards.part],
        trained=lambda wildcards: jobs.trained_with(
            CONFIG, parts_of("transfer", wildcards.model, wildcards.pair)[wildcards.part]
        ),
        lexicon=lambda wildcards: jobs.lexicon_settings(CONFIG, wildcards.pair),
        version=specs.STAGE_VERSIONS["transfer"],
    script:
        "../scripts/transfer.py"
