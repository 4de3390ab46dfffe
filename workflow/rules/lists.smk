# The lists held against each other: one file under two names, swapped columns, a language under another's name.
LISTS = rule_job("lists")


rule lists:
    input:
        **LISTS.inputs,
    output:
        **LISTS.outputs,
    log:
        LISTS.log,
    benchmark:
        LISTS.benchmark
    localrule: CONFIG.jobs.summaries_local
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **job_resources("lists"),
    params:
        job=job_params("lists"),
    script:
        "../scripts/job.py"
