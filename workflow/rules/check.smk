# Is the model whole, how deep is it, what does its tokenizer add? Everything that uses the model waits for the answer.
rule check:
    input:
        lambda wildcards: "<results>/fetched/{model}.json" if jobs.on_hub(CONFIG, wildcards.model) else [],
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
        gpu=lambda wildcards: jobs.needs_gpu(CONFIG, wildcards.model),
        mem_mb=lambda wildcards, attempt: attempt * jobs.memory_mb(CONFIG, "check", wildcards.model),
        runtime=lambda wildcards, attempt: attempt * jobs.minutes(CONFIG, "check", wildcards.model),
    params:
        model=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
        layers_asked=jobs.numbers_asked(CONFIG),
        languages=jobs.languages(CONFIG),
        target_modules=jobs.target_modules(CONFIG),
        results=CONFIG.results,
        version=running.STAGE_VERSIONS["check"],
    script:
        "../scripts/check.py"
