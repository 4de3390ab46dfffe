# What else the training changed: the harness's tasks, item by item, and perplexity, before and after.
TRANSFER = rule_job("transfer")


rule transfer:
    input:
        job_inputs("transfer"),
    output:
        **TRANSFER.outputs,
    log:
        TRANSFER.log,
    benchmark:
        TRANSFER.benchmark
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        **job_resources("transfer"),
    params:
        job=job_params("transfer"),
    script:
        "../scripts/job.py"
