# One job per model and pair: every hidden state and every pooling in one pass.
SCAN = rule_job("scan")


rule scan:
    input:
        job_inputs("scan"),
    output:
        **SCAN.outputs,
    log:
        SCAN.log,
    benchmark:
        SCAN.benchmark
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        **job_resources("scan"),
    params:
        job=job_params("scan"),
    script:
        "../scripts/job.py"
