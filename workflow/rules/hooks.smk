# What a run says at its start and its end, and who works on the results folder meanwhile.
import atexit


def stages_to_run():
    """The stage of each job that will run: its rule file's name. As a module the workflow is not alone, and its rules may be renamed."""
    files = [Path(job.rule.snakefile) for job in workflow.dag.needrun_jobs()]
    return [file.stem for file in files if file.parent == PACKAGE / "rules"]


def announce(log):
    try:
        refuse_unpinned(EXPERIMENT)
        starts.begin(LAYOUT, log if isinstance(log, str) else log[0])
    except (ConfigError, InUseError, OSError) as error:
        raise WorkflowError(in_words(error))
    store.sweep(LAYOUT.store)
    atexit.register(starts.end, LAYOUT)
    progress.begin(LAYOUT, stages_to_run(), workflow._cores or workflow.nodes or 1)
    progress.remember(LAYOUT, CONFIG.model_dump_json(exclude_unset=True))
    console.announce_run(EXPERIMENT)
    console.foresee(REMARKS)


def conclude(log):
    judging = [
        job
        for job in workflow.dag.jobs
        if Path(job.rule.snakefile) in [PACKAGE / "rules" / f"{stage}.smk" for stage in ("statistics", "report")]
    ]
    console.conclude_run(EXPERIMENT, bool(judging))


def explain_failure(log):
    console.explain(CONFIG, log if isinstance(log, str) else log[0])


def both(first, second):
    def hook(log):
        first(log)
        second(log)

    return hook


# Snakemake fires the hooks of the main Snakefile alone. As a module the workflow adds its own to them; a main Snakefile that sets
# its hooks after the module keeps only its own.
if not workflow.modifier.is_main_snakefile():
    workflow._onstart = both(workflow._onstart, announce)
    workflow._onsuccess = both(workflow._onsuccess, conclude)
    workflow._onerror = both(workflow._onerror, explain_failure)
