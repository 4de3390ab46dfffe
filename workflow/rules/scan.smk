# One job per model and pair: every hidden state and every pooling in one pass.
rule scan:
    input:
        pairs="<results>/lexicon/{pair}/pairs.tsv",
        check="<results>/check/{model}.json",
    output:
        scan="<results>/scan/{model}/{pair}/scan.tsv",
        choice="<results>/scan/{model}/{pair}/best.tsv",
        words="<results>/scan/{model}/{pair}/words.tsv",
        audit="<results>/scan/{model}/{pair}/audit.tsv",
    log:
        "<logs>/scan/{model}.{pair}.log",
    benchmark:
        "<benchmarks>/scan/{model}.{pair}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        gpu=lambda wildcards: costs.needs_gpu(CONFIG, wildcards.model),
        mem_mb=lambda wildcards, attempt: attempt
        * costs.memory_mb(CONFIG, "scan", wildcards.model, pair=wildcards.pair),
        runtime=lambda wildcards, attempt: attempt * costs.minutes(CONFIG, "scan", wildcards.model, pair=wildcards.pair),
    params:
        model=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
        settings=jobs.scan_settings(CONFIG),
        version=specs.STAGE_VERSIONS["scan"],
    script:
        "../scripts/scan.py"
