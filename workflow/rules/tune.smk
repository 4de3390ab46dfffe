# The trials of one tuned cell, on the select split alone; its training job reads what they chose. A placebo has none of its own.
TUNE = rule_job("tune")


rule tune:
    input:
        job_inputs("tune"),
    output:
        **TUNE.outputs,
    log:
        TUNE.log,
    benchmark:
        TUNE.benchmark
    wildcard_constraints:
        arm="|".join(name for name, arm in EXPERIMENT.arms.items() if arm.tune and arm.tuned_as == name) or "no-arm",
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        **job_resources("tune"),
    params:
        job=job_params("tune"),
    script:
        "../scripts/job.py"
