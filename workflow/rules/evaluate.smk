# One job per model and pair, cut by `jobs.adapters_per_job`: one load of the model serves the baseline and all adapters.
def run_folder(run):
    return f"<results>/train/{run['model']}/{run['pair']}/{run['run']}"


def left_behind(stage, wildcards):
    """What the runs of this part left behind. run.json stands for an adapter and its losses too, which come with it: a grid
    of 10,000 runs would else have 40,000 inputs to look at."""
    return [
        f"{run_folder(run)}/{name}"
        for run in parts_of(stage, wildcards.model, wildcards.pair)[wildcards.part]["runs"]
        for name in ["run.json", *(["weights/model.safetensors"] if run["method"] == "full" else [])]
    ]


rule evaluate:
    input:
        pairs="<results>/lexicon/{pair}/pairs.tsv",
        check="<results>/check/{model}.json",
        choice="<results>/scan/{model}/{pair}/best.tsv",
        trained=lambda wildcards: left_behind("evaluate", wildcards),
    output:
        multiext(
            "<results>/evaluate/{model}/{pair}/{part}/",
            similarities="similarities.parquet",
            metrics="metrics.tsv",
            projections="projections.parquet",
            runs="runs.tsv",
            losses="losses.parquet",
        ),
    log:
        "<logs>/evaluate/{model}.{pair}.{part}.log",
    benchmark:
        "<benchmarks>/evaluate/{model}.{pair}.{part}.tsv"
    conda:
        "../../environment.yml"
    threads: CONFIG.jobs.threads
    resources:
        gpu=lambda wildcards: costs.needs_gpu(CONFIG, wildcards.model),
        mem_mb=lambda wildcards, attempt: attempt * cost_of_part("evaluate", wildcards)["memory_mb"],
        runtime=lambda wildcards, attempt: attempt * cost_of_part("evaluate", wildcards)["minutes"],
    params:
        model=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
        settings=jobs.evaluation_settings(CONFIG),
        part=lambda wildcards: parts_of("evaluate", wildcards.model, wildcards.pair)[wildcards.part],
        layers_asked=jobs.layers_asked(CONFIG),
        mapped=lambda wildcards: jobs.mapped_runs(GRID, wildcards.model, wildcards.pair),
        results=CONFIG.results,
        version=running.STAGE_VERSIONS["evaluate"],
    script:
        "../scripts/evaluate.py"
