# One page for people who did not run it; the figures go into Snakemake's own report too.
REPORT = rule_job("report")


rule report:
    input:
        **REPORT.inputs,
    output:
        page=REPORT.outputs["page"],
        summary=report(REPORT.outputs["summary"], caption="../report/summary.rst", category="Summary"),
        figures=[
            report(
                LAYOUT.figure(figure_name(key, model, pair)),
                caption=f"../report/{key}.rst",
                category=category,
                labels={"model": model, "pair": pair, "figure": title},
            )
            for model, pair in EXPERIMENT.model_pairs
            for key, (title, category) in FIGURES.items()
        ]
        + [
            report(
                LAYOUT.figure(figure_name(MATRIX[0], model, arm)),
                caption="../report/matrix.rst",
                category=MATRIX[2],
                labels={"model": model, "arm": arm, "figure": MATRIX[1]},
            )
            for model, arm in EXPERIMENT.matrices
        ],
        tables=directory(REPORT.outputs["tables"]),
    log:
        REPORT.log,
    benchmark:
        REPORT.benchmark
    localrule: CONFIG.jobs.summaries_local
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        **job_resources("report"),
    params:
        job=job_params("report"),
    script:
        "../scripts/job.py"
