# With `split.folds`: each seed deals the words anew into folds, a concept into one fold of all lists that share a language.
FOLDS = rule_job("folds")


rule folds:
    input:
        **FOLDS.inputs,
    output:
        **FOLDS.outputs,
    log:
        FOLDS.log,
    benchmark:
        FOLDS.benchmark
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **job_resources("folds"),
    params:
        job=job_params("folds"),
    script:
        "../scripts/job.py"
