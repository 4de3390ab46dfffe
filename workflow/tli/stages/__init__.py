"""One module a stage: run(job)."""
