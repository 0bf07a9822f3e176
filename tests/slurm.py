"""A Slurm of one machine for tests: munged, slurmctld and slurmd, without systemd or cgroups."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

CONF = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={next_port}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/d
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/log/ctld.log
SlurmdLogFile={folder}/log/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=2
ReturnToService=2
SlurmdTimeout=10
KillWait=10
MaxArraySize=3
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """The reason why there can be no Slurm here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "slurmd is started as root"


def _free_ports() -> int:
    """A port that is free, and the next one too."""
    for _ in range(50):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise OSError("no two ports beside each other are free")


@dataclass
class Slurm:
    """A Slurm that keeps everything in one folder, of a short name: sockets' paths are limited."""

    folder: Path

    def start(self) -> None:
        """Start all of it, and wait until the node is idle."""
        for name in ("munge", "ctld", "d", "log"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        (self.folder / "munge").chmod(0o755)
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        port = _free_ports()
        text = CONF.format(host=socket.gethostname().partition(".")[0], folder=self.folder,
                           port=port, next_port=port + 1, user="root")  # fmt: skip
        (self.folder / "slurm.conf").write_text(text)
        self.call(
            "munged", f"--key-file={key}", f"--socket={self.folder}/munge/socket",
            f"--pid-file={self.folder}/munge/pid", f"--log-file={self.folder}/munge/log",
            f"--seed-file={self.folder}/munge/seed", "--num-threads=2", "--force",
        )  # fmt: skip
        self.start_controller()
        self.start_node()
        self.wait_for("sinfo", "-h", "-o", "%T", says="idle")

    @property
    def env(self) -> dict[str, str]:
        """The environment in which Slurm's commands find it."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": PATH}

    def call(self, *words: object) -> str:
        """Run a command of Slurm's; what it says."""
        done = subprocess.run(list(map(str, words)), env=self.env, capture_output=True, text=True,
                              check=False, timeout=60)  # fmt: skip
        return done.stdout + done.stderr

    def wait_for(self, *words: object, says: str, seconds: float = 60) -> None:
        """Run a command again and again until it says something."""
        deadline = time.monotonic() + seconds
        while says not in (said := self.call(*words)):
            assert time.monotonic() < deadline, f"{words}: {said}"
            time.sleep(0.3)

    def start_controller(self) -> None:
        """Start slurmctld; it goes on with what it had kept."""
        self.call("slurmctld", "-f", self.folder / "slurm.conf")

    def start_node(self) -> None:
        """Start slurmd."""
        self.call("slurmd", "-f", self.folder / "slurm.conf")

    def kill(self, name: str, *, with_jobs: bool = False) -> None:
        """Kill a daemon, ``ctld`` or ``d``; with all its tasks it is a node that died."""
        pid = int((self.folder / f"{name}.pid").read_text())
        tasks = self._tasks() if with_jobs else []
        os.kill(pid, signal.SIGKILL)
        for process in tasks:
            if process.is_running():
                process.kill()

    def _tasks(self) -> list[psutil.Process]:
        """Everything that this Slurm runs, and the daemons that stand over it."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter(["environ"]):
            environ = process.info["environ"] or {}
            if environ.get("SLURM_CONF") == self.env["SLURM_CONF"] and "SLURM_JOB_ID" in environ:
                found[process.pid] = process
                for parent in process.parents():
                    if parent.name().startswith("slurmstepd"):
                        found[parent.pid] = parent
        return list(found.values())

    def stop(self) -> None:
        """End it by its pids, and all that it runs."""
        self.call("scancel", "-u", "root")
        for process in self._tasks():
            process.kill()
        for name in ("d.pid", "ctld.pid", "munge/pid"):
            path = self.folder / name
            if path.exists():
                _end(int(path.read_text()))
        shutil.rmtree(self.folder, ignore_errors=True)


def _end(pid: int) -> None:
    """Ask a process to end, and make it."""
    try:
        process = psutil.Process(pid)
        process.terminate()
        process.wait(10)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        process.kill()
