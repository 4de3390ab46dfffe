# What comes from outside is fetched on the machine where Snakemake runs: compute nodes often have no network.
FETCH_MODEL = rule_job("fetch-model")


rule fetch_model:
    output:
        **FETCH_MODEL.outputs,
    log:
        FETCH_MODEL.log,
    benchmark:
        FETCH_MODEL.benchmark
    localrule: True
    conda:
        "../../environment.yml"
    params:
        job=job_params("fetch-model"),
    script:
        "../scripts/job.py"


FETCH_LIST = rule_job("fetch-list")


rule fetch_list:
    output:
        **FETCH_LIST.outputs,
    log:
        FETCH_LIST.log,
    benchmark:
        FETCH_LIST.benchmark
    localrule: True
    conda:
        "../../environment.yml"
    params:
        job=job_params("fetch-list"),
    script:
        "../scripts/job.py"


FETCH_TEXT = rule_job("fetch-text")


rule fetch_text:
    output:
        **FETCH_TEXT.outputs,
    log:
        FETCH_TEXT.log,
    benchmark:
        FETCH_TEXT.benchmark
    localrule: True
    conda:
        "../../environment.yml"
    params:
        job=job_params("fetch-text"),
    script:
        "../scripts/job.py"


FETCH_TASKS = rule_job("fetch-tasks")


rule fetch_tasks:
    output:
        **FETCH_TASKS.outputs,
    log:
        FETCH_TASKS.log,
    benchmark:
        FETCH_TASKS.benchmark
    localrule: True
    conda:
        "../../environment.yml"
    params:
        job=job_params("fetch-tasks"),
    script:
        "../scripts/job.py"
