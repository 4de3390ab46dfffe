# What comes from outside is fetched on the machine where Snakemake runs: compute nodes often have no network.
localrules:
    fetch_model,
    fetch_lexicon,
    fetch_tasks,


rule fetch_model:
    output:
        "<results>/fetched/{model}.json",
    log:
        "<logs>/fetch/{model}.log",
    benchmark:
        "<benchmarks>/fetch/{model}.tsv"
    conda:
        "../../environment.yml"
    params:
        settings=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
        version=specs.STAGE_VERSIONS["fetch"],
    script:
        "../scripts/fetch_model.py"


rule fetch_lexicon:
    output:
        "<results>/fetched/{pair}/{number}.lexicon",
    log:
        "<logs>/fetch/{pair}.{number}.log",
    benchmark:
        "<benchmarks>/fetch/{pair}.{number}.tsv"
    conda:
        "../../environment.yml"
    params:
        address=lambda wildcards: jobs.addresses(CONFIG, wildcards.pair)[int(wildcards.number)],
        sha256=lambda wildcards: jobs.checksum(CONFIG, wildcards.pair, int(wildcards.number)),
        version=specs.STAGE_VERSIONS["fetch"],
    script:
        "../scripts/fetch_lexicon.py"


rule fetch_tasks:
    output:
        "<results>/fetched/tasks.json",
    log:
        "<logs>/fetch/tasks.log",
    benchmark:
        "<benchmarks>/fetch/tasks.tsv"
    conda:
        "../../environment.yml"
    params:
        tasks=CONFIG.transfer.tasks,
        version=specs.STAGE_VERSIONS["fetch"],
    script:
        "../scripts/fetch_tasks.py"
