"""Checks of a generator's conduct in one process: fitting, sampling, what it touches."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.plugins import checked_log_prob
from genbench.testing.subject import (
    SAMPLE_SEED,
    NotChecked,
    Subject,
    changed,
    random_states,
    require,
)
from genbench.testing.tiny import tiny_labels, tiny_rows

COUNTS = (1, 7, 128)
N = 128
MOST_COPIES = 0.2  # an honest model of the tiny data stays below 0.02


def fit(subject: Subject) -> None:
    """It fits."""
    subject.fitted()


def samples(subject: Subject) -> None:
    """Every count gives so many rows of the space."""
    for n in COUNTS:
        subject.sample(n)


def seed(subject: Subject) -> None:
    """One seed twice, then another."""
    one, same, other = (subject.sample(N, seed=s) for s in (SAMPLE_SEED, SAMPLE_SEED, 4))
    require(
        _equal(one, same),
        f"sample({N}, seed={SAMPLE_SEED}) twice gave different samples: draw from "
        "torch.Generator().manual_seed(seed), and put networks into eval()",
    )
    require(
        not torch.equal(one.x, other.x),
        f"seeds {SAMPLE_SEED} and 4 gave the same {N} samples: let `seed` decide the draw",
    )


def random_state(subject: Subject) -> None:
    """Fit, sample and log_prob under watch."""
    blamed = {f"fit() ({name})" for name in subject.fitted().disturbed}
    before = random_states()
    subject.sample(7)
    blamed |= {f"sample() ({name})" for name in changed(before)}
    if subject.description.likelihood is not None:
        before = random_states()
        _scores(subject)
        blamed |= {f"log_prob() ({name})" for name in changed(before)}
    require(
        not blamed,
        f"global random state was changed by {', '.join(sorted(blamed))}: use a torch.Generator, "
        "and torch.random.fork_rng around initialisation",
    )


def training_data(subject: Subject) -> None:
    """The training data, unchanged by the fit."""
    modified = subject.fitted().modified
    require(not modified, f"fit() changed the training {' and '.join(modified)}: work on copies")


def unchanged(subject: Subject) -> None:
    """The state before and after drawing, and a draw repeated after others."""
    generator = subject.fitted().generator
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    first = subject.sample(7)
    subject.sample(N, seed=5)
    if subject.description.likelihood is not None:
        _scores(subject)
    after = generator.state_dict()
    moved = sorted(k for k, v in before.items() if k not in after or not torch.equal(v, after[k]))
    require(not moved, f"sampling changed {', '.join(moved)} of the state: use eval(), no updates")
    require(
        _equal(first, subject.sample(7)),
        "the same call gave other samples after drawing more: keep no state between calls",
    )


def labels(subject: Subject) -> None:
    """Two pure requests and a mixed one: each mixed row is like the pure row of its class."""
    if subject.description.labels != "given":
        raise NotChecked(f"spec.labels is {subject.description.labels!r}")
    if not subject.space.classes:
        raise NotChecked(f"{subject.space.kind} carry no labels")
    low = torch.zeros(N, dtype=torch.int64)
    high = torch.full((N,), subject.space.classes - 1)
    one, other = _drawn(subject, low), _drawn(subject, high)
    require(
        not torch.equal(one, other),
        f"labels 0 and {subject.space.classes - 1} gave the same samples: give `labels` to the "
        'model, or declare labels="none"',
    )
    at = torch.arange(N)
    for mixed in (torch.where(at < N // 2, high, low), torch.where(at % 2 == 0, low, high)):
        x = _drawn(subject, mixed)
        asked, not_asked = (mixed == 0)[:, None], (mixed != 0)[:, None]
        own, wrong = torch.where(asked, one, other), torch.where(not_asked, one, other)
        near, far = _distance(x, own), _distance(x, wrong)
        if near < 0.5 * far:
            continue  # the rows follow their labels, however little was learned
        # Rows drawn class by class: what tells the classes apart must have been learned.
        within = _distance(one, _drawn(subject, low, seed=6))
        across = _distance(one, _drawn(subject, high, seed=6))
        if across < 1.2 * within:
            raise NotChecked("after a tiny fit its classes cannot be told apart")
        require(
            near < (within + across) / 2,
            "samples are not of the classes asked for: row i must be of class labels[i]",
        )


def log_prob(subject: Subject) -> None:
    """Scores of tiny rows: shape, finiteness, and that the seed alone decides."""
    subject.require_likelihood()
    one, same = _scores(subject), _scores(subject)
    require(bool((one == same).all()), "log_prob with one seed gave two values: use the seed")
    _scores(subject, draws=3)


def copies(subject: Subject) -> None:
    """The share of samples that lie on a training row."""
    rows = tiny_rows(subject.space).flatten(1).double()
    x = subject.sample(N).x.flatten(1).double()
    between = torch.cdist(rows, rows).fill_diagonal_(torch.inf).amin(1)
    nearest = torch.cdist(x, rows).amin(1)
    share = float((nearest <= 0.1 * between.median()).double().mean())
    require(
        share <= MOST_COPIES,
        f"{share:.0%} of {N} samples are training rows: a generator must not store them",
    )


def files(subject: Subject) -> None:
    """The working folder after all this: nothing of the generator's."""
    subject.sample(7)
    found = sorted(path.name for path in subject.here.iterdir())
    require(not found, f"it wrote {', '.join(found)} where it was started: keep state in tensors")


def _scores(subject: Subject, draws: int = 1) -> Tensor:
    x = tiny_rows(subject.space, 7)
    y = tiny_labels(subject.space, 7) if subject.description.labels == "given" else None
    value = checked_log_prob(subject.fitted().generator, x, seed=SAMPLE_SEED, labels=y, draws=draws)
    return torch.from_numpy(value)


def _drawn(subject: Subject, y: Tensor, seed: int = SAMPLE_SEED) -> Tensor:
    return subject.sample(len(y), seed=seed, labels=y).x.flatten(1).double()


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm(dim=1).mean())


def _equal(one: tuple[Tensor, Tensor | None], other: tuple[Tensor, Tensor | None]) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, other, strict=True)
    )
