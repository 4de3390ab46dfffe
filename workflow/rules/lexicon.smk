# From a list of translations as people have it to clean pairs in three splits.
LEXICON = rule_job("lexicon")


rule lexicon:
    input:
        job_inputs("lexicon"),
    output:
        **LEXICON.outputs,
    log:
        LEXICON.log,
    benchmark:
        LEXICON.benchmark
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **job_resources("lexicon"),
    params:
        job=job_params("lexicon"),
    script:
        "../scripts/job.py"
