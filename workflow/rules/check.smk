# Is the model whole, how deep is it, what does its tokenizer add? Everything that uses the model waits for the answer.
CHECK = rule_job("check")


rule check:
    input:
        job_inputs("check"),
    output:
        **CHECK.outputs,
    log:
        CHECK.log,
    benchmark:
        CHECK.benchmark
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        **job_resources("check"),
    params:
        job=job_params("check"),
    script:
        "../scripts/job.py"
