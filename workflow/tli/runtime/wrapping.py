"""What every stage does around its work: a log, threads, the hub switched off, provenance, errors in one line."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from tli import log as log_lines
from tli.cluster.gpus import own
from tli.experiment.job import Job
from tli.io.provenance import write_record
from tli.log import redact, say
from tli.model.device import peak_memory_mib
from tli.model.memory import MENDS, is_card_full
from tli.runtime import progress
from tli.specs import STAGE_VERSIONS

TORCH_STAGES = ("check", "scan", "tune", "train", "evaluate", "across", "transfer")


class Ended(SystemExit):
    """The scheduler or a person asked this process to end (SIGTERM)."""


def run(job: Job, *, log: str = "", threads: int = 1, gpus: int = 0) -> None:
    """Do a job: what it prints goes to `log` as well, where it ran and how long goes to a provenance file.

    gpus: cards that the job needs for itself, where no scheduler hands them out (see tli.cluster.gpus). An error is printed
    in one line with the log's path, its traceback stands in the log; then the process ends with exit status 1. SIGTERM ends
    it as an error does, so that nothing half written stays behind.
    """
    start, worked = time.time(), time.process_time()
    with wrapped(job.stage, job.name, log=log, threads=threads, gpus=gpus) as terminal:
        facts = importlib.import_module(f"tli.stages.{job.stage}").run(job)
        facts |= {
            "stage_version": STAGE_VERSIONS[job.stage],
            "processor_seconds": round(time.process_time() - worked, 3),
            "peak_memory_mib": peak_memory_mib(),
            "cards": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        }
        write_record(job.layout.provenance(job.stage, job.name), job.stage, job.name, start, facts)
        if log:
            shown = progress.line(job.layout)
            print(f"{job.stage} {job.name}: {time.time() - start:.0f} s" + (f"; {shown}" if shown else ""), file=terminal, flush=True)


@contextmanager
def wrapped(stage: str, name: str, *, log: str = "", threads: int = 1, gpus: int = 0) -> Iterator:
    """Within the block: the log, the threads, the cards, the hub switched off, SIGTERM as an error. Yields the terminal."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if stage != "fetch":
        os.environ["HF_HUB_OFFLINE"] = "1"  # compute nodes have no network; what is needed was fetched before
    terminal = sys.stderr
    try:
        with _termination_raises(), _redirected(log) as terminal:
            try:
                with own(gpus, say):  # before torch looks for cards
                    _set_threads(threads, stage)
                    yield terminal
            except BaseException as error:
                _report(error, stage, name, log, terminal)
                if isinstance(error, SystemExit) and not isinstance(error, Ended):
                    raise
                status = 143 if isinstance(error, Ended) else 130 if isinstance(error, KeyboardInterrupt) else 1
                os._exit(status) if log else sys.exit(status)
    except OSError as error:  # the log itself cannot be written
        _report(error, stage, name, "", terminal)
        sys.exit(1)


def _report(error: BaseException, stage: str, name: str, log: str, terminal: TextIO) -> None:
    """The traceback into the log, one line and where to look onto the terminal; also when the disk is full."""
    foreseen = isinstance(error, (ValueError, OSError, Ended, KeyboardInterrupt))
    with suppress(OSError):
        if log or not foreseen:
            print(redact("".join(traceback.format_exception(error))), file=sys.stderr, flush=True)
    if isinstance(error, Ended):
        summary = "ended by SIGTERM (time limit, preemption or scancel); what is finished is kept, the next try goes on from there"
    elif isinstance(error, KeyboardInterrupt):
        summary = "stopped by Ctrl-C; what is finished is kept, the same command goes on from there"
    else:
        summary = in_words(error)
    with suppress(OSError):
        print(f"\nError in {stage} {name}: {summary}" + (f"\n  The log is {log}" if log else ""), file=terminal, flush=True)
    if log:
        with suppress(OSError):
            print(f"Error in {stage} {name}: {summary}", file=sys.stderr, flush=True)


def in_words(error: BaseException) -> str:
    """An error for people, in one line, without tokens."""
    if _disk_is_full(error):
        where = str(error) if len(str(error)) < 300 else os.strerror(errno.ENOSPC)  # a copied folder names every file
        return redact(f"the disk is full ({where}); nothing half written is kept: make room and start again")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return redact(f"{error.filename or 'a file'}: {error.strerror}; change its permissions, or name another folder under `results`")
    if "torch" in sys.modules and is_card_full(error):
        return redact(f"the card's memory is full ({(str(error).splitlines() or [type(error).__name__])[0]}). {MENDS}")
    return redact(str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}")


def _disk_is_full(error: BaseException) -> bool:
    """Libraries wrap the operating system's error in their own; its words stay in theirs."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Within the block SIGTERM raises, so that what was begun is cleaned up before the process ends."""

    def ended(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleaning
        raise Ended(143)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def forget_tokens() -> None:
    """Take access tokens out of this process's environment: compute jobs need none, and with --verbose the executor's job
    step would print its whole environment into SLURM's log.
    """
    for key in [key for key in os.environ if re.search(r"(TOKEN|SECRET|PASSWORD)$", key)]:
        del os.environ[key]


def _set_threads(threads: int, stage: str) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if stage in TORCH_STAGES:
        import torch
        from transformers.utils import logging

        torch.set_num_threads(threads)
        logging.set_verbosity_error()
        logging.disable_progress_bar()


@contextmanager
def _redirected(log: str) -> Iterator:
    """Send what this process and its libraries print to `log`; yields the terminal for the one line that matters."""
    if not log:
        yield sys.stderr
        return
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(2), os.dup(1)
    with Path(log).open("w", encoding="utf-8", buffering=1) as stream, os.fdopen(os.dup(2), "w", buffering=1) as terminal:
        os.dup2(stream.fileno(), 2)
        os.dup2(stream.fileno(), 1)
        log_lines.terminals.append(terminal)
        try:
            yield terminal
        finally:
            log_lines.terminals.pop()
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 2)
            os.dup2(saved[1], 1)
            os.close(saved[0])
            os.close(saved[1])
