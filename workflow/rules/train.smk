# One job trains the seeds of a cell (model, pair, arm, layer, rank) on one copy of the weights. `jobs.seeds_per_job` cuts
# a cell into several jobs; then there is one rule for each cut, since the seed is a wildcard of the paths.
LORA = "|".join(sorted(set(GRID.loc[GRID["method"] == "lora", "arm"]))) or "no-arm"
FULL = "|".join(sorted(set(GRID.loc[GRID["method"] == "full", "arm"]))) or "no-arm"


for number, seeds in enumerate(jobs.seed_chunks(CONFIG), 1):
    for method, arms, weights in (
        ("lora", LORA, ["adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/README.md"]),
        ("full", FULL, ["weights/model.safetensors"]),
    ):

        rule:
            name:
                f"train_{method}" + (f"_{number}" if number > 1 else "")
            input:
                pairs="<results>/lexicon/{pair}/pairs.tsv",
                check="<results>/check/{model}.json",
                choice=choice_of,
                listed=same_cell_by_number,
            output:
                runs=expand(f"{RUN_FOLDER}/run.json", seed=seeds, allow_missing=True),
                losses=expand(f"{RUN_FOLDER}/losses.parquet", seed=seeds, allow_missing=True),
                # 16 GB a seed for an 8B model: gone as soon as evaluation and transfer have used them
                weights=[
                    temp(path) if method == "full" else path
                    for name in weights
                    for path in expand(f"{RUN_FOLDER}/{name}", seed=seeds, allow_missing=True)
                ],
            log:
                f"<logs>/train/{{model}}.{{pair}}.{{arm}}.layer-{{layer}}.rank-{{rank}}.part-{number}.log",
            benchmark:
                f"<benchmarks>/train/{{model}}.{{pair}}.{{arm}}.layer-{{layer}}.rank-{{rank}}.part-{number}.tsv"
            wildcard_constraints:
                arm=arms,
            conda:
                "../../environment.yml"
            threads: CONFIG.jobs.threads
            resources:
                gpu=lambda wildcards: costs.needs_gpu(CONFIG, wildcards.model),
                mem_mb=lambda wildcards, attempt, method=method: attempt
                * costs.memory_mb(
                    CONFIG,
                    "train",
                    wildcards.model,
                    pair=wildcards.pair,
                    layer=wildcards.layer,
                    arm=wildcards.arm,
                    method=method,
                ),
                runtime=lambda wildcards, attempt, method=method, runs=len(seeds): attempt
                * costs.minutes(
                    CONFIG,
                    "train",
                    wildcards.model,
                    pair=wildcards.pair,
                    layer=wildcards.layer,
                    arm=wildcards.arm,
                    method=method,
                    runs=runs,
                ),
            params:
                model=lambda wildcards: jobs.model_settings(CONFIG, wildcards.model),
                settings=lambda wildcards: grid.training_settings(
                    CONFIG, wildcards.arm, wildcards.layer, wildcards.rank
                ),
                seeds=seeds,
                version=specs.STAGE_VERSIONS["train"],
            script:
                "../scripts/train.py"
