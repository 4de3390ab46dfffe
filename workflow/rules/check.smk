# Is the model whole, how deep is it, what does its tokenizer add? Everything that uses the model waits for the answer.
# What the grid asks of it (layers, modules) is no param: with one layer more, everything would run again.
rule check:
    input:
        lambda wildcards: (
            "<results>/fetched/{model}.json"
            if jobs.on_hub(CONFIG, wildcards.model)
            else jobs.model_files(CONFIG, wildcards.model)
        ),
    output:
        "<results>/check/{model}.json",
    log:
        "<logs>/check/{model}.log",
    benchmark:
        "<benchmarks>/check/{model}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        gpu=lambda wildcards: costs.needs_gpu(CONFIG, wildcards.model),
        mem_mb=lambda wildcards, attempt: attempt * costs.memory_mb(CONFIG, "check", wildcards.model),
        runtime=lambda wildcards, attempt: attempt * costs.minutes(CONFIG, "check", wildcards.model),
    params:
        model=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
        version=specs.STAGE_VERSIONS["check"],
    script:
        "../scripts/check.py"
