"""MLflow: an experiment for each suite and profile, a run for each cell."""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from genbench.errors import TrackerError, UsageError
from genbench.tracking.account import Account, TrackedRun
from genbench.tracking.contract import Outcome, library

ADDRESS = "MLFLOW_TRACKING_URI"
# Set where the user has set nothing: no usage data goes to its makers, and a server that went away
# costs a quarter of a minute and not ten.
DEFAULTS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # fmt: skip
ANSWER_SECONDS = 10.0
# Tags by which a run is found again: whose it is, of which record, and whether all of that is in.
ID, STAMP, COMPLETE = "genbench/run", "genbench/record", "genbench/complete"
MOST_METRICS, MOST_OTHERS, MOST_FOUND = 1000, 100, 1000  # in one request
MOST_KEY, MOST_VALUE = 250, 5000  # characters
STATUS = {"ok": "FINISHED", "skipped": "FINISHED", "interrupted": "KILLED"}
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
REPORT = "report"


@dataclass(slots=True)
class _Known:
    """A run of the server: its id there, the record that it is about, whether it has all of it."""

    id: str
    stamp: str
    complete: bool


class MLflowTracker:
    """Sends each cell to an MLflow server, or writes it to a database or folder of MLflow's.

    Raises
    ------
    UsageError, TrackerError
        If there is no address, nobody answers there, or mlflow is not installed.
    """

    def __init__(self, place: str) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        address = place or os.environ.get(ADDRESS, "")
        if not address:
            raise UsageError(
                "it needs an address: mlflow:http://localhost:5000, or mlflow:sqlite:///mlflow.db"
            )
        self._entities = library("mlflow.entities", "mlflow")
        _require_somebody(address)
        self._client = _client(address)
        self._experiments: dict[str, str] = {}  # ids by group
        self._runs: dict[str, _Known] = {}  # by `TrackedRun.id`

    def progress(self, run: TrackedRun, examples: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.tracking.contract.Tracker`."""
        known = self._known(run)
        if known is None or known.stamp:  # of an earlier attempt: this one takes its place
            self._drop(known)
            known = self._create(run, time.time())
        now = int(time.time() * 1000)
        self._log(known, {f"live/{k}": [(examples, v)] for k, v in scalars.items()}, now)

    def record(self, account: Account) -> Outcome:
        """See `genbench.tracking.contract.Tracker`."""
        known = self._known(account.run)
        if known is not None and known.complete and known.stamp == account.stamp:
            return "same"
        earlier = known is not None and bool(known.stamp)
        if known is None or earlier:
            self._drop(known)
            known = self._create(account.run, account.began)
        self._set(known, {STAMP: account.stamp})
        known.stamp = account.stamp
        self._fill(known, account)
        self._end(known, STATUS.get(account.status, "FAILED"), account.ended)
        return "renewed" if earlier else "new"

    def report(self, group: str, page: Path) -> Outcome:
        """See `genbench.tracking.contract.Tracker`; an artefact of a run called ``report``."""
        stamp = sha256(page.read_bytes()).hexdigest()
        run = TrackedRun(sha256(f"{REPORT} {group}".encode()).hexdigest()[:32], group, REPORT)
        known = self._known(run)
        if known is not None and known.complete and known.stamp == stamp:
            return "same"
        outcome: Outcome = "new" if known is None else "renewed"
        now = time.time()
        known = known or self._create(run, now)
        self._set(known, {STAMP: stamp})
        self._client.log_artifact(known.id, str(page), REPORT)
        self._end(known, "FINISHED", now)
        return outcome

    def close(self) -> None:
        """See `genbench.tracking.contract.Tracker`."""

    def _fill(self, known: _Known, account: Account) -> None:
        at = int(account.ended * 1000)
        self._log(known, {name: [(0, value)] for name, value in account.values.items()}, at)
        self._log(known, account.curves, at)
        param = self._entities.Param
        params = [param(_key(k), str(v)[:MOST_VALUE]) for k, v in account.parameters.items()]
        for some in _chunks(params, MOST_OTHERS):
            self._client.log_batch(known.id, params=some)
        self._set(known, _tags(account))
        for path in account.pictures.values():
            self._client.log_artifact(known.id, path, "pictures")

    def _log(self, known: _Known, curves: Mapping[str, Sequence[Sequence[float]]], at: int) -> None:
        metric = self._entities.Metric
        points = [metric(_key(name), float(value), at, int(step))
                  for name, line in curves.items() for step, value in line]  # fmt: skip
        for some in _chunks(points, MOST_METRICS):
            self._client.log_batch(known.id, metrics=some)

    def _set(self, known: _Known, tags: Mapping[str, str]) -> None:
        made = [self._entities.RunTag(_key(k), v[:MOST_VALUE]) for k, v in tags.items()]
        for some in _chunks(made, MOST_OTHERS):
            self._client.log_batch(known.id, tags=some)

    def _end(self, known: _Known, status: str, at: float) -> None:
        """The last thing of a run: from now on it is known to have everything."""
        self._client.set_terminated(known.id, status, int(at * 1000))
        self._set(known, {COMPLETE: "true"})
        known.complete = True

    def _create(self, run: TrackedRun, at: float) -> _Known:
        tags = {ID: run.id, "mlflow.source.name": "genbench"}
        made = self._client.create_run(
            self._experiment(run.group), start_time=int(at * 1000), tags=tags, run_name=run.name
        )
        known = self._runs[run.id] = _Known(made.info.run_id, "", False)
        return known

    def _drop(self, known: _Known | None) -> None:
        if known is not None:
            self._client.delete_run(known.id)

    def _known(self, run: TrackedRun) -> _Known | None:
        self._experiment(run.group)
        return self._runs.get(run.id)

    def _experiment(self, group: str) -> str:
        """The id of a group's experiment, all of whose runs are known from then on."""
        if group not in self._experiments:
            found = self._client.get_experiment_by_name(group)
            if found is not None and found.lifecycle_stage == "deleted":
                raise TrackerError(f"experiment {group!r} was deleted there: restore it")
            if found is None:
                self._experiments[group] = self._client.create_experiment(group)
            else:
                self._experiments[group] = found.experiment_id
                self._runs |= dict(self._found(found.experiment_id))
        return self._experiments[group]

    def _found(self, experiment: str) -> Iterator[tuple[str, _Known]]:
        token = None
        while True:
            page = self._client.search_runs([experiment], max_results=MOST_FOUND, page_token=token)
            for run in page:
                tags = run.data.tags
                if ID in tags:
                    known = _Known(run.info.run_id, tags.get(STAMP, ""), COMPLETE in tags)
                    yield tags[ID], known
            token = page.token
            if not token:
                return


def _client(address: str) -> Any:
    """A client that has been answered once."""
    if address.startswith(DATABASES) and not _is_whole():
        raise UsageError("a database needs all of MLflow, not its client alone: pip install mlflow")
    client = library("mlflow", "mlflow").MlflowClient(address)
    client.search_experiments(max_results=1)
    return client


def _is_whole() -> bool:
    """Whether all of MLflow is installed, and not only what the extra of this tracker brings."""
    try:
        metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return False
    return True


def _require_somebody(address: str) -> None:
    """`TrackerError` where no server answers: the library would ask again for minutes."""
    if not address.startswith(("http://", "https://")):
        return
    try:
        parts = urllib.parse.urlsplit(address)
        asked = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without a login
        urllib.request.urlopen(asked, timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # whatever it thinks of the question, somebody is there
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise TrackerError(
            f"nobody answers ({reason}): start the server, or mend the address"
        ) from error


def _tags(account: Account) -> dict[str, str]:
    found = dict(account.facts)
    found |= {f"signature/{name}": text for name, text in account.signatures.items() if text}
    found |= {f"no value/{name}": reason for name, reason in account.without.items()}
    if account.error:
        found["mlflow.note.content"] = f"{account.status} {account.error}"
    if "git_commit" in found:
        found["mlflow.source.git.commit"] = found["git_commit"]
    return found


def _key(name: str) -> str:
    """A name as MLflow takes it: ``fid at inception-v3-compat``."""
    return re.sub(r"[^/\w.\- :]", "_", name.replace("@", " at "))[:MOST_KEY]


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
