"""``genbench export`` as a function: a finished cell's generator becomes one file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from genbench.adapters import ExportHeader, read_header
from genbench.data import sources
from genbench.errors import ContractError, GenbenchError, UsageError
from genbench.export.target import Target, target_of
from genbench.export.writing import TRIAL, part_offered
from genbench.plugins import GeneratorChoice, Prober, choose
from genbench.results import Store, Stored
from genbench.running import Access, Cell, RunOptions, place_order, plan_cells
from genbench.system import read_json, write_bytes
from genbench.tasks import Suite, load_suite

MODULE = "genbench.export.writing"
ASK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Of the `values` that it was tried with beside the generator's own module, `different` ones are
    not the same, by `largest` at most: rounding. A state is not tried: it is the stored one.
    """

    file: Path
    header: ExportHeader
    bytes: int
    values: int
    different: int
    largest: float


def export(
    generator: str,
    suite: str | Path,
    out: Path,
    *,
    asked: str | None = None,
    plugins: Sequence[str] = (),
    profile: str | None = None,
    seed: int = 0,
    results: Path = Path("results"),
    overwrite: bool = False,
    sandbox: bool = True,
) -> Exported:
    """Put the sampler of a finished cell's generator, or its state, into a file.

    The file is written whole or not at all, and only after it gave the same rows as the generator.

    Parameters
    ----------
    generator
        ``NAME`` or ``NAME:key=value,...``, as it was run.
    asked
        ``onnx``, ``torchscript`` or ``safetensors``; by default what the suffix of `out` says.
    seed
        Seed of the training that is exported.
    overwrite
        Whether a file at `out` may be replaced.

    Raises
    ------
    UsageError
        If the cell was not finished, its generator has no sampler, or `out` is taken.
    ContractError
        If the sampler is not what the contract says, or cannot be put into the format.
    """
    target = target_of(out, asked, overwrite)
    chosen, store = load_suite(str(suite), profile), Store(results)
    with Prober(sandbox=sandbox) as prober:
        choices = choose(chosen, (generator,), plugins, prober, controls=False)
        if len(choices) != 1:
            raise UsageError(f"{generator} names {len(choices)} generators: export one at a time")
        (cell,) = plan_cells(chosen, choices, store, RunOptions((seed,)))
        stored, state = _finished(chosen, cell, store)
        if target.format != "safetensors":
            _require_part(chosen, cell.generator, target, prober)
    header = _header(chosen, cell, stored, target)
    return _written(chosen, cell, state, header, target, _access(chosen, cell, store, sandbox))


def _written(
    suite: Suite, cell: Cell, state: Path, header: ExportHeader, target: Target, access: Access
) -> Exported:
    """Have the file written elsewhere, and put it where it belongs."""
    with tempfile.TemporaryDirectory() as name:
        written = Path(name) / f"export{target.file.suffix.lower()}"
        order = {
            "generator": cell.generator.to_json(),
            "state": str(state.resolve()),
            "header": header.to_text(),
            "threads": header.threads,
            "n": 0,
            "to": str(written),
        }
        failure = f"{cell.label} could not be put into {target.format}"
        place_order(MODULE, order, suite.space, access, failure)
        found, trial = read_header(written), read_json(written.with_name(TRIAL))
        if found is None:
            raise ContractError(f"{failure}: what its process left has no header")
        data = written.read_bytes()
    write_bytes(target.file, data)
    return Exported(target.file, found, len(data), **trial)


def _finished(suite: Suite, cell: Cell, store: Store) -> tuple[Stored, Path]:
    """The attempt whose generator is exported, and its state; `UsageError` if there is none."""
    for earlier in (cell.latest, cell.source):
        if earlier is not None and earlier.status == "ok":
            stored = earlier.stored()
            state = stored.artifact("state")
            if state is not None:
                return stored, state
            raise UsageError(
                f"the weights of {cell.label} are not in {stored.folder}: run it with --fresh"
            )
    raise UsageError(
        f"{cell.label} has no finished training in {store.root}: run "
        f"`genbench run --suite {suite.name} --profile {suite.profile}` with it first"
    )


def _require_part(suite: Suite, choice: GeneratorChoice, target: Target, prober: Prober) -> None:
    """`UsageError`, with the rows that could be exported, if this one cannot."""
    if _part(choice, suite, prober) is not None:
        return
    able = []
    for other in choose(suite, ("all",), (), prober, controls=False):
        with contextlib.suppress(GenbenchError):  # one that cannot be made for images of this size
            able += [other.name] if _part(other, suite, prober) else []
    raise UsageError(
        f"{choice.name} has no sampler to put into {target.format} (neither `sampler` nor "
        f"`decode`): of the rows of {suite.name} {', '.join(able) or 'none'} can be exported; "
        "--format safetensors keeps the state of any, for genbench"
    )


def _part(choice: GeneratorChoice, suite: Suite, prober: Prober) -> str | None:
    """The part of a generator that would be exported, asked in a process of its own."""
    args = {"generator": choice.to_json(), "space": suite.space.to_json()}
    call = f"{part_offered.__module__}:{part_offered.__name__}"
    asked = prober.forks.put(call, args, sandbox=prober.sandbox)
    found: str | None = prober.forks.answer(asked, choice.name, ASK_SECONDS)
    return found


def _header(suite: Suite, cell: Cell, stored: Stored, target: Target) -> ExportHeader:
    description, record = cell.generator.description, stored.record
    return ExportHeader(
        format=target.format,
        generator=cell.generator.name,
        version=description.version,
        params=dict(cell.generator.params),
        space=suite.space,
        noise_size=0,
        labels=description.labels == "given" and suite.space.classes > 0,
        module="state",
        suite=f"{suite.name}@{suite.version}",
        profile=suite.profile,
        task=suite.task_hash,
        seed=cell.seed,
        record=record.record_id,
        threads=int(record.environment.get("threads", 1)),
        genbench=metadata.version("genbench"),
    )


def _access(suite: Suite, cell: Cell, store: Store, sandbox: bool) -> Access:
    file = cell.generator.ref.file
    readable = (Path(file).parent,) if file else ()
    return Access(store.root, (*store.hidden(), *sources(suite.dataset)), readable, sandbox)
