# One page for people who did not run it; the figures go into Snakemake's own report too.
from tli.report import FIGURES, figure_name


rule report:
    input:
        statistics=rules.statistics.output,
        scans=[
            f"<results>/scan/{model}/{pair}/{name}" for model, pair in MODEL_PAIRS for name in ["scan.tsv", "best.tsv"]
        ],
        audits=expand("<results>/lexicon/{pair}/audit.tsv", pair=CONFIG.pairs),
    output:
        page="<results>/report/index.html",
        summary=report("<results>/report/summary.md", caption="../report/summary.rst", category="Summary"),
        figures=[
            report(
                f"<results>/report/figures/{figure_name(key, model, pair)}.svg",
                caption=f"../report/{key}.rst",
                category=category,
                labels={"model": model, "pair": pair, "figure": title},
            )
            for model, pair in MODEL_PAIRS
            for key, (title, category) in FIGURES.items()
        ],
        tables=directory("<results>/report/tables"),
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    localrule: CONFIG.jobs.summaries_local
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 20 * attempt,
        gpu_model="",  # without it a default of the profile would ask for a GPU
    params:
        config=CONFIG.model_dump(mode="json", exclude_unset=True),
        version=specs.STAGE_VERSIONS["report"],
    script:
        "../scripts/report.py"
