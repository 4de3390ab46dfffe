# One job trains the seeds of a cell (model, pair, arm, layer, rank) on one copy of the weights. `jobs.seeds_per_job` cuts a cell
# into chunks of seeds, each a rule of its own, since the seeds are several outputs of one job and not its wildcard.
LORA_ARMS = "|".join(name for name, arm in EXPERIMENT.arms.items() if not arm.training.is_full) or "no-arm"
FULL_ARMS = "|".join(name for name, arm in EXPERIMENT.arms.items() if arm.training.is_full) or "no-arm"


for chunk in range(1, len(EXPERIMENT.seed_chunks) + 1):
    for method, arms in (("lora", LORA_ARMS), ("full", FULL_ARMS)):
        TRAIN = rule_job("train", chunk=chunk, method=method)

        rule:
            name:
                f"train_{method}" + (f"_{chunk}" if chunk > 1 else "")
            input:
                job_inputs("train", chunk=chunk),
            output:
                records=TRAIN.outputs["records"],
                losses=TRAIN.outputs["losses"],
                # all weights of an 8B model are 16 GB a seed: gone as soon as evaluation and transfer have used them
                weights=temp(TRAIN.outputs["weights"]) if method == "full" else TRAIN.outputs["weights"],
            log:
                TRAIN.log,
            benchmark:
                TRAIN.benchmark
            wildcard_constraints:
                arm=arms,
            conda:
                "../../environment.yml"
            threads: CONFIG.jobs.threads
            resources:
                **job_resources("train", chunk=chunk),
            params:
                job=job_params("train", chunk=chunk),
            script:
                "../scripts/job.py"
