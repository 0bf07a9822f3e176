"""Task x generators x seeds -> cells: which are done, which are scored again, which must be run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genbench import kinds
from genbench.metrics import METRICS, MetricValue, is_likelihood, plain_name, provider
from genbench.plugins import GeneratorChoice
from genbench.results import (
    Problem,
    Store,
    Stored,
    canonical_json,
    collector_at_rest,
    digest,
    digest_of,
    newest,
)
from genbench.running.cellspec import PARTS
from genbench.running.earlier import Earlier, checkpoint_of, cut_short, threads_of
from genbench.tasks import Suite, codes_asked, protocols

# Raise it when scoring itself changes what a stored value would be.
SCORING_VERSION = 2

Todo = Literal["done", "kept", "score", "resume", "run"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One (task, generator, seed) and what is to be done about it.

    Parameters
    ----------
    todo
        ``done``; ``kept`` (failed, left alone as asked); ``score`` (samples are there, numbers are
        not, or failed); ``resume`` (a checkpoint is there); ``run``.
    latest
        The attempt that counts so far, or None.
    source
        The attempt whose samples are scored again (`score`), or None.
    checkpoint
        The checkpoint that a fit continues from (`resume`), or None.
    parts
        Of ``metrics``, ``downstream`` and ``codes``, what has to be computed.
    unusable
        What stands in the cell's folder and cannot be used, such as a damaged record.
    threads
        Threads of its fit: those that are asked for, or those that its checkpoint or its samples
        were made with.
    """

    key: str
    generator: GeneratorChoice
    seed: int
    folder: Path
    todo: Todo
    latest: Earlier | None
    source: Earlier | None
    parts: tuple[str, ...]
    checkpoint: Path | None = None
    unusable: tuple[Problem, ...] = ()
    threads: int = 1

    @property
    def attempt(self) -> int:
        """Number of the attempt that would come next."""
        return 1 if self.latest is None else self.latest.number + 1

    @property
    def label(self) -> str:
        """Such as ``vae:latent=8 seed 0``."""
        passed = ",".join(f"{k}={v}" for k, v in sorted(self.generator.params_passed.items()))
        return f"{self.generator.name}{':' + passed if passed else ''} seed {self.seed}"


def build_plan(
    suite: Suite,
    choices: Sequence[GeneratorChoice],
    seeds: Sequence[int],
    store: Store,
    *,
    threads: int,
    parts: tuple[str, ...] = PARTS,
    fresh: bool = False,
    keep_failed: bool = False,
) -> list[Cell]:
    """All cells of a run in the order in which they are run: controls first, then by seed.

    Controls depend on no training: they have one cell, at the suite's first seed.
    """
    task = _Task.of(suite)
    rows = [_Row.of(task, choice) for choice in choices]
    wanted = [(row, suite.seeds[0]) for row in rows if row.choice.is_control]
    wanted += [(row, seed) for seed in seeds for row in rows if not row.choice.is_control]
    with collector_at_rest():
        return [
            _cell(task, row, seed, store, threads, parts, fresh, keep_failed)
            for row, seed in wanted
        ]


@dataclass(frozen=True, slots=True)
class _Task:
    """A suite, and what is the same for all its cells: with many of them the digests are dear.

    `keys` are its `scoring_keys`, `wanted` the metrics that each part is `expected` to hold.
    """

    suite: Suite
    hash: str
    folder: Path
    keys: Mapping[str, str]
    wanted: Mapping[str, set[str]]

    @classmethod
    def of(cls, suite: Suite) -> _Task:
        wanted = {part: expected(suite, part) for part in PARTS}
        return cls(suite, suite.task_hash, Path(suite.folder_name), scoring_keys(suite), wanted)


@dataclass(frozen=True, slots=True)
class _Row:
    """A generator on a task, and what is the same for all its seeds.

    Parameters
    ----------
    folder
        The folder that holds those of its cells, below the results directory.
    before, after
        What stands before and after the seed in the text that a cell's key is the digest of.
    """

    choice: GeneratorChoice
    folder: Path
    before: bytes
    after: bytes

    @classmethod
    def of(cls, task: _Task, choice: GeneratorChoice) -> _Row:
        parts = {"generator": choice.identity(), "task": task.hash}
        names = {name: canonical_json(part) for name, part in parts.items()}
        before = b'{"generator":%b,"seed":' % names["generator"]
        return cls(choice, _row_folder(task.folder, choice), before, b',"task":%b}' % names["task"])

    def key(self, seed: int) -> str:
        """The same as `cell_key`, several times faster."""
        return digest_of(self.before + b"%d" % seed + self.after)


def cell_key(suite: Suite, choice: GeneratorChoice, seed: int) -> str:
    """Digest of all that decides a cell's samples."""
    return digest({"task": suite.task_hash, "generator": choice.identity(), "seed": seed})


def cell_folder(suite: Suite, choice: GeneratorChoice, seed: int) -> Path:
    """The cell's folder below the results directory."""
    return _row_folder(Path(suite.folder_name), choice) / f"seed-{seed}"


def _row_folder(task: Path, choice: GeneratorChoice) -> Path:
    params = digest(dict(choice.params))[7:15]
    return task / f"{_file_name(choice.name)}~{params}"


def _file_name(name: str) -> str:
    """`name` as every file system takes it: in ASCII, another one for another name."""
    if name.isascii():
        return name
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{letters or 'name'}-{digest(name)[7:15]}"


def scoring_keys(suite: Suite) -> dict[str, str]:
    """By part, the digest of all that decides its numbers, given the samples."""
    asked = [part for part in PARTS if part != "codes" or expected(suite, part)]
    bodies = {part: {"suite": suite.part_hash(part), "scoring": SCORING_VERSION} for part in asked}
    packages = {metric.id: provider(metric.id) for metric in suite.metrics}
    packages = {id_: package for id_, package in packages.items() if package is not None}
    if packages:  # their next version may answer otherwise
        bodies["metrics"]["packages"] = packages
    unit = kinds.of(suite.space.kind).likelihood.signed
    if unit:  # those that were told in another one before
        bodies["metrics"]["unit"] = unit
    return {part: digest(body) for part, body in bodies.items()}


def part_of(metric: str) -> str:
    """The part of the scoring that a metric id belongs to; a package's own are made of features."""
    info = METRICS.get(plain_name(metric))
    source = "features" if info is None else info.source
    return source if source in ("downstream", "codes") else "metrics"


def expected(suite: Suite, part: str) -> set[str]:
    """The metric ids that a finished record holds for a part."""
    if part == "metrics":
        return {request.id for request in suite.metrics}
    if part == "codes":
        looked = codes_asked(suite.document)
        return set(looked.metrics if looked else ())
    found: set[str] = set()
    if "tstr" in suite.document.get("downstream", {}):
        found |= {"tstr_accuracy", "trtr_accuracy", "trts_accuracy"}
    asked = protocols.read(suite.document)
    return found | set(asked.metrics if asked else ())


def _has(
    stored: object, have: Mapping[str, MetricValue], part: str, key: str | None, wanted: set[str]
) -> bool:
    """Whether a record holds a part of the scores, if only as reasons, as the suite asks now."""
    if not wanted <= set(have):
        return False
    return not wanted or (isinstance(stored, Mapping) and stored.get(part) == key)


def _stumbled(have: Mapping[str, MetricValue], wanted: set[str]) -> bool:
    """Whether a value of a part failed: what kept it from being computed may be mended by now."""
    return any(have[id_].status == "failed" for id_ in wanted & set(have))


def _cell(
    task: _Task,
    row: _Row,
    seed: int,
    store: Store,
    threads: int,
    parts: tuple[str, ...],
    fresh: bool,
    keep_failed: bool,
) -> Cell:
    key = row.key(seed)
    folder = row.folder / f"seed-{seed}"
    found = list(store.attempts_in(store.root / folder))
    unusable = tuple(a for a in found if isinstance(a, Problem))
    attempts = [a for a in found if isinstance(a, Stored) and a.record.cell_key == key]
    latest = newest(attempts)
    todo: Todo = "run"
    source = None
    if latest is not None and not fresh:
        todo, source, parts = _decide(task, latest, attempts, parts, keep_failed)
    checkpoint = None
    if todo == "run" and not fresh and (latest is None or cut_short(latest.record)):
        checkpoint = checkpoint_of(store, folder, key, latest)
    if checkpoint is not None:
        todo, threads = "resume", checkpoint.threads
    elif source is not None:
        threads = threads_of(source.record.environment) or threads
    path = None if checkpoint is None else checkpoint.path
    past = None if latest is None else Earlier.of(latest)
    scored = None if source is None else Earlier.of(source)
    return Cell(key, row.choice, seed, folder, todo, past, scored, parts, path, unusable, threads)


def _decide(
    task: _Task,
    latest: Stored,
    attempts: Sequence[Stored],
    parts: tuple[str, ...],
    keep_failed: bool,
) -> tuple[Todo, Stored | None, tuple[str, ...]]:
    record, asked = latest.record, parts
    if record.status in ("ok", "skipped"):
        stored, have = record.cell["suite"].get("scoring"), record.metrics
        keys, wanted = task.keys, task.wanted
        lacking = [p for p in parts if not _has(stored, have, p, keys.get(p), wanted[p])]
        failed = [] if keep_failed else [p for p in parts if _stumbled(have, wanted[p])]
        if _undrawn(latest) and not keep_failed:
            failed.append("metrics")
        parts = tuple(part for part in parts if part in lacking or part in failed)
        if record.status == "skipped" or not parts:
            return "done", None, ()
        if latest.artifact("samples") is not None:
            return "score", latest, parts
        # A failed value alone is not worth another fit, nor is a look inside.
        return ("run", None, asked) if set(lacking) - {"codes"} else ("done", None, ())
    if keep_failed and record.status != "interrupted":
        return "kept", None, ()
    sampled = [a for a in attempts if _drawn(task.suite, a)]
    if sampled:
        return "score", newest(sampled), parts
    return "run", None, parts


def _undrawn(latest: Stored) -> bool:
    """Whether the process that drew its course of training died, and left the states to draw."""
    failed = latest.record.course.get("status") == "failed"
    return failed and latest.artifact("snapshot") is not None


def _drawn(suite: Suite, attempt: Stored) -> bool:
    """Whether all that only the fitted generator can give was there before the attempt ended."""
    record = attempt.record
    if "state_s" not in record.timing or attempt.artifact("samples") is None:
        return False
    # Records without a sandbox were made before its log_prob was probed.
    probed = "sandbox" in record.environment and record.cell["generator"].get("likelihood")
    wanted = any(is_likelihood(request.id) for request in suite.metrics)
    if probed and wanted and cut_short(attempt.record):
        return attempt.artifact("likelihood") is not None
    return True
