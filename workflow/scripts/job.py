"""One job of any rule: what it is called and what it may use come from Snakemake."""

from tli.config import parse
from tli.experiment import Experiment
from tli.experiment.job import Job
from tli.runtime.wrapping import run

experiment = Experiment(parse(dict(snakemake.config)))
job = Job.of(experiment, snakemake.params.job["job"], **snakemake.params.job["names"])
run(job, log=snakemake.log[0], threads=snakemake.threads, gpus=snakemake.resources.get("gpu", 0))
