# From the measured words of all runs to tests and verdicts.
STATISTICS = rule_job("statistics")


rule statistics:
    input:
        **STATISTICS.inputs,
    output:
        **STATISTICS.outputs,
    log:
        STATISTICS.log,
    benchmark:
        STATISTICS.benchmark
    localrule: CONFIG.jobs.summaries_local
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **job_resources("statistics"),
    params:
        job=job_params("statistics"),
    script:
        "../scripts/job.py"
