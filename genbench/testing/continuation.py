"""Checks across processes: state, repetition, interruption, a stop; and the device."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import replace

import torch

from genbench.errors import ContractError
from genbench.plugins import Budget, Snapshots, Stopped, checked_log_prob
from genbench.results import snapshots_in
from genbench.system import tensorfile
from genbench.testing.slowdown import slowdown
from genbench.testing.subject import BUDGET, SAMPLE_SEED, NotChecked, Subject, require
from genbench.testing.tiny import tiny_labels, tiny_rows

N = 32
REFERENCE = "reference.safetensors"
STATE = "state.safetensors"
CHECKPOINT = "checkpoint.safetensors"
STOP_AFTER_SECONDS = 0.5
STOP_SECONDS = 10.0
SNAPSHOT_SECONDS = 2.0
ENDLESS = 10**8


def keep_reference(subject: Subject) -> None:
    """Write samples of the fit in this process, for later ones to compare with."""
    _write_samples(subject, subject.fitted().generator)


def keep_state(subject: Subject) -> None:
    """Write the state, and what it must bring back."""
    state = subject.fitted().generator.state_dict()
    wrong = [k for k, v in state.items() if not isinstance(v, torch.Tensor)]
    require(not wrong, f"state_dict() holds {', '.join(wrong)} that are no tensors: wrap them")
    tensorfile.save(subject.folder / STATE, state)
    _write_samples(subject, subject.fitted().generator)


def restore_state(subject: Subject) -> None:
    """In a new process: load the state into a new generator and draw."""
    generator = subject.make()
    generator.load_state_dict(tensorfile.load(subject.folder / STATE))
    require(
        _same_samples(subject, generator),
        "after load_state_dict() in a new process the samples are others: put all that sample() "
        "needs into state_dict()",
    )


def fit_again(subject: Subject) -> None:
    """In a new process: the same fit."""
    require(
        _same_samples(subject, subject.fitted().generator),
        "a second fit with the same run.seed gave other samples: draw weights and noise from "
        "run.seed alone",
    )


def interrupt(subject: Subject) -> None:
    """Stop a fit half-way, as Ctrl-C does."""
    budget, path = Budget(BUDGET), subject.folder / CHECKPOINT
    path.unlink(missing_ok=True)

    def half_way() -> bool:
        return budget.served >= BUDGET // 2

    try:
        subject.fit(subject.make(), budget=budget, stop=half_way, checkpoint_file=path)
    except Stopped:
        if not path.is_file():
            raise NotChecked(
                "it offered no checkpoint when stopped, so an interrupted fit starts again: "
                "call run.checkpoint after each batch"
            ) from None
        return
    raise NotChecked("its fit was over before it could be interrupted")


def resume(subject: Subject) -> None:
    """In a new process: go on from the checkpoint."""
    budget, generator = Budget(BUDGET), subject.make()
    subject.fit(generator, budget=budget, resume_file=subject.folder / CHECKPOINT)
    require(
        budget.served > 0,
        "it did not ask run.restore(): take the state from there, and pass start=run.served",
    )
    require(
        _same_samples(subject, generator),
        "an interrupted and resumed fit gave other samples: checkpoint weights, optimiser and "
        "random state, and pass start=run.served to batches",
    )


def snapshots(subject: Subject) -> None:
    """In a new process: the same fit with a snapshot half-way, and samples of that."""
    generator, lost = subject.make(), []
    kept = Snapshots(
        subject.folder, [BUDGET // 2], lost=lambda examples, reason: lost.append(reason)
    )
    subject.fit(generator, snapshots=kept)
    if not kept.offered:
        raise NotChecked("it offers none, so no course of training is recorded: call run.snapshot")
    require(not lost, f"a snapshot could not be kept: {''.join(lost)}")
    require(
        kept.seconds <= SNAPSHOT_SECONDS * slowdown(),
        f"a snapshot of tiny networks took {kept.seconds:.1f} s: let it return weights that are "
        "there already",
    )
    require(
        _same_samples(subject, generator),
        "a fit that offered a snapshot half-way gave other samples: work on copies, with random "
        "numbers of their own",
    )
    half_way = subject.make()
    for path in snapshots_in(subject.folder).values():
        half_way.load_state_dict(tensorfile.load(path))
        subject.sample_of(half_way, 7)


def stop(subject: Subject) -> None:
    """Tell an endless fit to stop, and wait."""
    start = time.monotonic()
    stop_at = start + STOP_AFTER_SECONDS
    with contextlib.suppress(Stopped):
        budget = Budget(ENDLESS)
        subject.fit(subject.make(), budget=budget, stop=lambda: time.monotonic() > stop_at)
    seconds = time.monotonic() - stop_at
    if seconds < 0:
        raise NotChecked(f"its fit was over in {time.monotonic() - start:.1f} s by itself")
    require(
        seconds <= STOP_SECONDS * slowdown(),
        f"fit() went on for {seconds:.0f} s after it was told to stop: take data from "
        "train.batches, or ask run.should_stop()",
    )


def device(subject: Subject) -> None:
    """Fit, sample and score on a GPU, or else on the device that has shapes and no numbers."""
    if torch.cuda.is_available():
        _on_device(replace(subject, device=torch.device("cuda"), _fitted=None))
        return
    torch.Generator = _Generator  # type: ignore[misc,assignment]
    try:
        _on_device(replace(subject, device=torch.device("meta"), _fitted=None))
    except ContractError:
        raise
    except Exception as error:
        if re.search(r"(expected|same|different) device", str(error)):
            raise
        raise NotChecked(f"needs a GPU to be told ({type(error).__name__}: {error})") from error


class _Generator(torch.Generator):
    """Random numbers for the meta device, which needs none, come from the CPU."""

    def __new__(cls, device: torch.device | str = "cpu") -> _Generator:
        place = "cpu" if torch.device(device).type == "meta" else device
        return super().__new__(cls, place)  # type: ignore[call-arg]


def _on_device(subject: Subject) -> None:
    kind = subject.device.type
    drawn = subject.sample(7)
    require(
        drawn.x.device.type == kind,
        f"sample() returned a tensor on {drawn.x.device}, expected {kind}: make tensors on the "
        "device that __init__ was given",
    )
    if subject.description.likelihood is None:
        return
    generator, x = subject.fitted().generator, tiny_rows(subject.space, 7).to(subject.device)
    y = tiny_labels(subject.space, 7) if subject.description.labels == "given" else None
    y = None if y is None else y.to(subject.device)
    if kind != "meta":
        checked_log_prob(generator, x, seed=SAMPLE_SEED, labels=y)
    value = generator.log_prob(x, seed=SAMPLE_SEED, labels=y)
    require(value.device.type == kind, f"log_prob() returned a tensor on {value.device}")


def _write_samples(subject: Subject, generator: object) -> None:
    drawn = subject.sample_of(generator, N)
    tensorfile.save(subject.folder / REFERENCE, {"x": drawn.x, "y": drawn.y})


def _same_samples(subject: Subject, generator: object) -> bool:
    reference = tensorfile.load(subject.folder / REFERENCE)
    drawn = subject.sample_of(generator, N)
    same = torch.equal(drawn.x, reference["x"])
    return same and (drawn.y is None or torch.equal(drawn.y, reference["y"]))
