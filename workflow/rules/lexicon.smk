# From a list of translations as people have it to clean pairs in three splits.
rule lexicon:
    input:
        files=lexicon_files,
    output:
        pairs="<results>/lexicon/{pair}/pairs.tsv",
        changes="<results>/lexicon/{pair}/changes.tsv",
        audit="<results>/lexicon/{pair}/audit.tsv",
    log:
        "<logs>/lexicon/{pair}.log",
    benchmark:
        "<benchmarks>/lexicon/{pair}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
        gpu_model="",  # without it a default of the profile would ask for a GPU
    params:
        settings=lambda wildcards: jobs.lexicon_settings(CONFIG, wildcards.pair),
        entries=lambda wildcards: jobs.addresses(CONFIG, wildcards.pair),
        version=specs.STAGE_VERSIONS["lexicon"],
    script:
        "../scripts/lexicon.py"
