"""A job: what is to be done for one set of names. From it follow inputs, outputs, params, log and benchmark.

A rule asks the job of its wildcards, the script `job.py` and `tli run` make the same job from names, a test from a
config; `tli.stages.<stage>.run(job)` does it. Names in braces (`"{model}"`) make a job whose outputs are a rule's patterns.
"""

from tli.experiment.job.across import AcrossJob
from tli.experiment.job.base import JOBS, Job, kinds
from tli.experiment.job.lists import FetchListJob, FetchModelJob, FetchTasksJob, FetchTextJob, FoldsJob, LexiconJob, ListsJob
from tli.experiment.job.measuring import EvaluateJob, TransferJob
from tli.experiment.job.models import CheckJob, ScanJob
from tli.experiment.job.summaries import ReportJob, StatisticsJob
from tli.experiment.job.training import TrainJob, TuneJob

__all__ = [
    "JOBS",
    "AcrossJob",
    "CheckJob",
    "EvaluateJob",
    "FetchListJob",
    "FetchModelJob",
    "FetchTasksJob",
    "FetchTextJob",
    "FoldsJob",
    "Job",
    "LexiconJob",
    "ListsJob",
    "ReportJob",
    "ScanJob",
    "StatisticsJob",
    "TrainJob",
    "TransferJob",
    "TuneJob",
    "kinds",
]
