# Every run on the lists of `evaluation.on`, its own pair's or another's. One job per model, cut by `jobs.adapters_per_job`: one load serves all.
ACROSS = rule_job("across")


rule across:
    input:
        job_inputs("across"),
    output:
        **ACROSS.outputs,
    log:
        ACROSS.log,
    benchmark:
        ACROSS.benchmark
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        **job_resources("across"),
    params:
        job=job_params("across"),
    script:
        "../scripts/job.py"
