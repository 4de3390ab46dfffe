"""A SLURM of our own on this machine: Debian's packages, two nodes, two GPUs that exist for the scheduler alone.

    python tests/slurm/cluster.py install         the packages (as root)
    python tests/slurm/cluster.py start FOLDER    prints what to put into the environment
    python tests/slurm/cluster.py stop FOLDER     ends every process of that cluster and removes the folder

No systemd, no cgroups, no accounting. Every daemon is ours: its folder, its ports, its munge key.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
PROGRAMS = ["slurmctld", "slurmd", "slurmstepd", "sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel", "munged"]
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class ClusterError(RuntimeError):
    """The cluster did not come up or did not go away; the message has the daemons' last words."""


def missing() -> list[str]:
    """Programs of SLURM that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]


def install() -> str:
    """Install Debian's packages where they lack. Returns "" when all is there afterwards, else why not."""
    if not missing():
        return ""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"{missing()[0]} is not installed; as root: apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
    }
    # Daemons that a package starts by itself would have this machine's configuration, which is none.
    policy = Path("/usr/sbin/policy-rc.d")
    own = not policy.exists()
    if own:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update"], **quiet)
        done = subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES], **quiet)
    finally:
        if own:
            policy.unlink()
    return "" if not missing() else f"apt-get could not install {missing()[0]}: {done.stderr.strip()[-300:]}"


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


class Cluster:
    """A running cluster in `folder`: nodes node1 (with the GPUs) and node2; partitions main (both) and gpu (node1)."""

    def __init__(self, folder: Path, *, gpus: int = 2, cpus: int = 4, memory_mb: int = 8000):
        self.folder, self.gpus, self.cpus, self.memory_mb = Path(folder).resolve(), gpus, cpus, memory_mb
        self.config = self.folder / "etc" / "slurm.conf"
        self.nodes = ["node1", "node2"]
        self.env = {
            "SLURM_CONF": str(self.config),
            "PATH": os.pathsep.join([str(self.folder / "bin"), SYSTEM_PATH]),
        }

    # ---- start

    def start(self) -> Cluster:
        if self.config.exists():
            raise ClusterError(f"{self.folder}: a cluster is here already; stop it first")
        for name in ("etc", "state", "log", "run", "gpu", "bin", "spool.node1", "spool.node2"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in (self.folder, self.folder / "run"):
            name.chmod(0o755)  # munge wants it so
        self._write_config()
        self._write_helpers()
        try:
            self._daemon(
                "munged",
                f"--key-file={self.folder}/etc/munge.key",
                f"--socket={self.folder}/run/munge.sock",
                f"--pid-file={self.folder}/run/munged.pid",
                f"--log-file={self.folder}/log/munged.log",
                f"--seed-file={self.folder}/run/munged.seed",
            )
            self._daemon("slurmctld")
            for node in self.nodes:
                self.start_node(node)
            self.wait_for(lambda: self.states() == dict.fromkeys(self.nodes, "idle"), 30, "the nodes are not idle")
        except BaseException:
            self.stop()
            raise
        return self

    def start_node(self, node: str) -> None:
        self._daemon("slurmd", "-N", node)

    def _daemon(self, *words: str) -> None:
        done = subprocess.run(words, env=os.environ | self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise ClusterError(f"{words[0]}: {done.stderr.strip()}\n{self._last_words()}")

    def _write_config(self) -> None:
        name, user, port = socket.gethostname().split(".")[0], getpass.getuser(), free_port()
        devices = []
        for number in range(self.gpus):
            # Any character device will do; the digits at the end of its name become CUDA_VISIBLE_DEVICES.
            device = self.folder / "gpu" / f"card{number}"
            device.symlink_to("/dev/null")
            devices.append(f"NodeName=node1 Name=gpu Type=fake File={device}")
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{name}(127.0.0.1)",
            "SlurmctldPort": port,
            "SlurmUser": user,
            "SlurmdUser": user,
            "AuthType": "auth/munge",
            "CredType": "cred/munge",
            # A job whose node died is placed again after the credential has expired: 120 s by default.
            "AuthInfo": f"socket={self.folder}/run/munge.sock,cred_expire=10",
            "AccountingStorageType": "accounting_storage/none",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": f"{self.folder}/spool.%n",
            "SlurmctldPidFile": self.folder / "run" / "slurmctld.pid",
            "SlurmdPidFile": f"{self.folder}/run/slurmd.%n.pid",
            "SlurmctldLogFile": self.folder / "log" / "slurmctld.log",
            "SlurmdLogFile": f"{self.folder}/log/slurmd.%n.log",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SwitchType": "switch/none",
            "MpiDefault": "none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU_Memory",
            "SchedulerType": "sched/backfill",
            "SchedulerParameters": "bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            # Without it every job takes a whole node.
            "DefMemPerCPU": 400,
            # Without cgroups this is what ends a job that takes more memory than it asked for.
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill,UsePss",
            # Nodes may claim more than this machine has.
            "SlurmdParameters": "config_overrides",
            "ReturnToService": 2,
            "SlurmctldTimeout": 10,
            "SlurmdTimeout": 10,
            "KillWait": 2,
            "CompleteWait": 0,
            # A job beyond a partition's limits is refused at once instead of waiting for ever.
            "EnforcePartLimits": "ALL",
            "MailProg": "/bin/true",
            "MinJobAge": 3600,
            "GresTypes": "gpu",
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        for number, node in enumerate(self.nodes, 1):
            gres = f"Gres=gpu:fake:{self.gpus}" if number == 1 and self.gpus else ""
            lines.append(
                f"NodeName={node} NodeHostname={name} NodeAddr=127.0.0.1 Port={free_port()} CPUs={self.cpus} RealMemory={self.memory_mb} {gres} State=UNKNOWN"
            )
        lines += [
            "PartitionName=main Nodes=ALL Default=YES MaxTime=240 State=UP PriorityTier=1",
            "PartitionName=gpu Nodes=node1 MaxTime=240 State=UP PriorityTier=1",
            "PartitionName=urgent Nodes=ALL MaxTime=240 State=UP PriorityTier=10",
        ]
        self.config.write_text("\n".join(lines) + "\n")
        (self.folder / "etc" / "gres.conf").write_text("\n".join(devices) + "\n")
        (self.folder / "etc" / "cgroup.conf").write_text("ConstrainDevices=no\n")
        key = self.folder / "etc" / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))

    def _write_helpers(self) -> None:
        """srun with our config: the plugin takes SLURM_CONF away before its inner srun."""
        srun = shutil.which("srun", path=SYSTEM_PATH)
        shim = self.folder / "bin" / "srun"
        shim.write_text(f'#!/bin/sh\nSLURM_CONF="{self.config}" exec {srun} "$@"\n')
        shim.chmod(0o755)

    # ---- look and act

    def run(self, *words: str, timeout: float = 30) -> str:
        """Output of one SLURM command on this cluster. Raises ClusterError when it fails."""
        done = subprocess.run([*map(str, words)], env=os.environ | self.env, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise ClusterError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def states(self) -> dict[str, str]:
        return dict(
            line.split() for line in self.run("sinfo", "--noheader", "--Node", "--partition", "main", "--format", "%N %t").splitlines()
        )

    def queue(self, states: str = "PENDING,RUNNING,COMPLETING,SUSPENDED") -> list[dict]:
        """The jobs in these states, or all that SLURM remembers with "all"; `gpus` as they were asked of SLURM."""
        columns = {
            "id": ("JobID", 20),
            "name": ("Name", 80),
            "state": ("State", 20),
            "node": ("NodeList", 40),
            "given": ("tres-per-job", 60),
            "comment": ("Comment", 400),
        }
        text = self.run(
            "squeue", "--noheader", "--states", states, "--Format", ",".join(f"{name}:{width}" for name, width in columns.values())
        )
        rows = []
        for line in text.splitlines():
            row, start = {}, 0
            for key, (_, width) in columns.items():
                row[key] = line[start : start + width].strip()
                start += width
            given = re.search(r"gpu(?::[^:,]+)?:(\d+)", row.pop("given"))
            rows.append(row | {"gpus": int(given[1]) if given else 0})
        return rows

    def wait_for(self, condition, seconds: float, otherwise: str):
        """The condition's first true value. Raises ClusterError with `otherwise` after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = condition()
            except ClusterError:
                found = None
            if found:
                return found
            if time.monotonic() > end:
                raise ClusterError(f"after {seconds} s {otherwise}\n{self._last_words()}")
            time.sleep(0.2)

    def stop_controller(self) -> None:
        """slurmctld goes away; the jobs run on."""
        (controller,) = [pid for pid, words in self._processes() if Path(words[0]).name == "slurmctld"]
        end(controller, signal.SIGTERM)
        while any(pid == controller for pid, _ in self._processes()):
            time.sleep(0.1)

    def start_controller(self) -> None:
        self._daemon("slurmctld")

    def kill_node(self, node: str) -> None:
        """As a node dies: the daemon and all that it started, at once, without a word to the controller."""
        (daemon,) = [pid for pid, words in self._processes() if Path(words[0]).name == "slurmd" and node in words]
        steps = [pid for pid, words in self._processes() if Path(words[0]).name.startswith("slurmstepd") and self._belongs_to(pid, node)]
        children = [child for step in steps for child in descendants(step)]
        for pid in [daemon, *steps, *children]:
            end(pid, signal.SIGKILL)

    def _belongs_to(self, pid: int, node: str) -> bool:
        """Whether a step daemon is one of this node's: it holds files below the node's spool folder."""
        try:
            held = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            return False
        return any(f"/spool.{node}" in name for name in [*held, *self._environment(pid)])

    def _environment(self, pid: int) -> list[str]:
        try:
            return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return []

    def workers(self, job: str) -> list[int]:
        """Processes of a SLURM job that run a stage's script: Snakemake's copy of scripts/job.py."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            pid = int(place.name)
            try:
                words = (place / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if words.endswith(".job.py\0") and f"SLURM_JOB_ID={job}" in self._environment(pid):
                found.append(pid)
        return found

    def _processes(self) -> list[tuple[int, list[str]]]:
        """The daemons of this cluster, known by SLURM_CONF in their environment or by their pid files."""
        found = []
        marker = f"SLURM_CONF={self.config}".encode()
        for place in Path("/proc").iterdir():
            if not place.name.isdigit():
                continue
            try:
                words = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
                name = Path(words[0].split(":")[0]).name
                if name in ("slurmctld", "slurmd", "slurmstepd", "munged") and marker in (place / "environ").read_bytes().split(b"\0"):
                    found.append((int(place.name), words))
            except OSError:
                continue
        return found

    def _last_words(self) -> str:
        logs = sorted((self.folder / "log").glob("*.log"))
        return "\n".join(f"{log.name}: " + " | ".join(log.read_text(errors="replace").splitlines()[-4:]) for log in logs)

    # ---- stop

    def stop(self, purge: bool = True) -> None:
        """End all jobs, then all daemons. Raises ClusterError when one is still there."""
        if self.config.exists() and (self.folder / "run" / "slurmctld.pid").exists():
            for words in (["scancel", "--state=PENDING", "--user", getpass.getuser()], ["scancel", "--user", getpass.getuser()]):
                subprocess.run(words, env=os.environ | self.env, capture_output=True, timeout=60)
            with contextlib.suppress(ClusterError, subprocess.TimeoutExpired):
                self.wait_for(lambda: not self.queue(), 15, "jobs are still there")
        ours = self._processes()
        jobs = [child for pid, words in ours if "slurmstepd" in words[0] for child in descendants(pid)]
        for pid in [pid for pid, _ in ours]:
            end(pid, signal.SIGTERM)
        limit = time.monotonic() + 5
        while self._processes() and time.monotonic() < limit:
            time.sleep(0.1)
        for pid in [pid for pid, _ in self._processes()] + jobs:
            end(pid, signal.SIGKILL)
        limit = time.monotonic() + 5
        while self._processes() and time.monotonic() < limit:
            time.sleep(0.1)
        if self._processes():
            raise ClusterError(f"{self.folder}: still running: {self._processes()}")
        if purge:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs."""
    try:
        children = [int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in descendants(child)]


def end(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main(words: list[str]) -> int:
    if words == ["install"]:
        print(install() or "SLURM is installed")
        return int(bool(missing()))
    if len(words) != 2 or words[0] not in ("start", "stop"):
        print(__doc__, file=sys.stderr)
        return 2
    cluster = Cluster(Path(words[1]))
    if words[0] == "stop":
        cluster.stop()
        return 0
    cluster.start()
    for key, value in cluster.env.items():
        print(f"export {key}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
