# The words before and after. One job per model and pair, cut by `jobs.adapters_per_job`: one load serves baseline and adapters.
EVALUATE = rule_job("evaluate")


rule evaluate:
    input:
        job_inputs("evaluate"),
    output:
        **EVALUATE.outputs,
    log:
        EVALUATE.log,
    benchmark:
        EVALUATE.benchmark
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        **job_resources("evaluate"),
    params:
        job=job_params("evaluate"),
    script:
        "../scripts/job.py"
