"""The public plugin contract: what a generator is, what it is given, and what it must return.

A generator is a class with a `GeneratorSpec`, a `fit` and a `sample`; one that declares a
likelihood also has `log_prob`. Register it under the entry-point group ``genbench.generators`` or
pass its file with ``--plugin``. This module is all of genbench that a generator needs to import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from genbench import kinds, system
from genbench.errors import ContractError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from genbench.system import CapturedStep as CapturedStep
    from genbench.system import captures as captures
    from genbench.system import move_average as move_average
    from genbench.system import optimizer_options as optimizer_options
else:

    def __getattr__(name: str) -> object:
        """The parts of the contract that need torch, which is imported with the first of them."""
        if name not in ("CapturedStep", "captures", "move_average", "optimizer_options"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(system, name)


Kind = str  # the name of one: ``image``, ``points``, ``sequence``, ``waveform``, or a package's own
Labels = Literal["none", "given", "own"]
Likelihood = Literal["exact", "dequantized", "lower-bound"]

# The version of this contract. A plugin that needs a newer one says so in its spec.
CONTRACT = 1


@dataclass(frozen=True, slots=True)
class Space:
    """The data space of a suite: the set that samples live in and densities are normalised over.

    Parameters
    ----------
    kind
        ``image``: uint8 ``(n, C, H, W)`` in ``0 .. levels - 1``. ``points``: finite float32
        ``(n, d)``. ``sequence``: int64 ``(n, length)`` token ids in ``0 .. levels - 1``, where a
        text ends at its first `pad` and all after it is `pad`: that first one is an event, whose
        probability `DensityGenerator.log_prob` includes; a text without one has an implied end.
        ``waveform``: float32 ``(n, T)`` in ``[-1, 1]``.
    shape
        The shape of one example, without ``n``.
    levels
        Grey levels of an image or tokens of a vocabulary; 0 where it does not apply.
    classes
        Number of class labels, which are int64 in ``0 .. classes - 1``; 0 for unlabelled data.
    pad
        The padding token of a sequence space.
    rate
        Samples a second of a waveform space, in Hz; 0 where it does not apply.
    """

    kind: Kind
    shape: tuple[int, ...]
    levels: int = 0
    classes: int = 0
    pad: int | None = None
    rate: int = 0

    @property
    def dims(self) -> int:
        """Number of scalars in one example (the d of bits per dimension)."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> str:
        """Name of the torch dtype of a batch of examples."""
        return kinds.of(self.kind).dtype

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {name: getattr(self, name) for name in self.__slots__} | {"shape": list(self.shape)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Space:
        """Undo `to_json`."""
        return cls(**{**body, "shape": tuple(body["shape"])})

    def violation(self, x: Any, n: int) -> str | None:
        """The reason that `x` is not `n` examples of this space, or None if it is.

        They are a tensor ``(n, *shape)`` of `dtype`, finite and within the space's range.
        """
        return kinds.of(self.kind).violation(self, x, n)


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A generator's declaration about itself. Read before anything is run.

    Parameters
    ----------
    name
        ``[a-z0-9][a-z0-9-]*``; equals the entry point's name.
    version
        Raise it when the same parameters would give other samples; it is part of the cell's key.
    family
        Such as ``gan``, ``vae``, ``flow``, ``denoising``; ``control`` is refused: those are ours.
    kinds
        The kinds of `Space` it can model.
    labels
        ``none``: ignores labels; ``given``: samples the class it is asked for wherever the space
        has classes (and gets ``labels=None`` where it has none); ``own``: returns
        `Samples` with labels of its own.
    likelihood
        What `Generator.log_prob` returns: ``exact`` (a normalised discrete model),
        ``dequantized`` (a density under uniform dequantisation, so a bound in expectation),
        ``lower-bound`` (an ELBO); None for implicit models, which have no `log_prob`.
    params
        A frozen dataclass of parameters with defaults; its fields are what ``-g NAME:k=v`` sets.
        All of them are part of the cell's key. So that results stay the generator's own, a field
        that was renamed says what it is still called in keys and records,
        ``field(default=1e-3, metadata={"key": "lr"})``, and is set by either name; one that came
        later, ``metadata={"added": True}``, stays out of them while it is at its default.
    reference
        The paper it follows.
    pretrained_on
        Other data that shaped the weights, if any; such generators are left out of protocols that
        need to know what was seen.
    contract
        The version of this contract that it is written for. A genbench that knows only older ones
        refuses the generator by name and leaves all others alone.
    likelihood_kinds
        Those of `kinds` of which `log_prob` gives that likelihood; empty for all of them.
    """

    name: str
    version: str
    family: str
    kinds: tuple[Kind, ...]
    labels: Labels
    likelihood: Likelihood | None
    params: type
    reference: str = ""
    pretrained_on: str | None = None
    contract: int = CONTRACT
    likelihood_kinds: tuple[Kind, ...] = ()


class Batch(NamedTuple):
    """Training examples on the run's device: `x` of the `Space`, `y` int64 ``(n,)`` or None."""

    x: Tensor
    y: Tensor | None


class Samples(NamedTuple):
    """The samples of ``labels = "own"`` generators: `x` of the `Space`, `y` int64 ``(n,)``."""

    x: Tensor
    y: Tensor


class TrainData(Protocol):
    """Exactly the rows a generator may see. There is no validation split in it: split your own."""

    space: Space
    n: int

    @property
    def x(self) -> Tensor:
        """All rows ``(n, *space.shape)`` of the space's dtype, for statistics.

        Reading it is recorded as ``raw_access`` and shown.
        """

    @property
    def y(self) -> Tensor | None:
        """All labels, int64 ``(n,)``, or None; recorded like `x`."""

    def batches(self, batch_size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        """Shuffled batches, epoch after epoch, until the budget is spent.

        Parameters
        ----------
        batch_size
            Rows per batch. The last batch of an epoch, and of the budget, may be smaller.
        seed
            Decides the order; use ``run.seed``.
        start
            Examples already served before an interruption: the first batch is the one that would
            have come next. The harness counts what is served and ends the iteration at
            ``run.budget`` examples in all.

        Yields
        ------
        Batch
            ``x`` ``(batch_size, *space.shape)`` of the space's dtype, ``y`` int64
            ``(batch_size,)`` or None, on ``run.device``.
        """


class Run(Protocol):
    """The harness as a generator sees it during `fit`."""

    seed: int
    device: torch.device
    budget: int

    @property
    def served(self) -> int:
        """Training examples served so far."""

    @property
    def fraction(self) -> float:
        """Share of the budget served so far, 0 to 1: what a learning-rate schedule needs."""

    def progress(self, **scalars: float | Tensor) -> None:
        """Report losses by name. Cheap: 0-d tensors are kept on the device until they are shown."""

    def should_stop(self) -> bool:
        """True when the run is being stopped; return from `fit` soon. `batches` ends by itself."""

    def checkpoint(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Offer the state from which `fit` can continue; saved when a save is due.

        `state` is called only then. It returns nested dicts and lists of tensors, numbers, strings
        and None, such as ``{"net": net.state_dict(), "optimizer": optimizer.state_dict()}``.
        """

    def snapshot(self, state: Callable[[], Mapping[str, Tensor]]) -> None:
        """Offer what `Generator.sample` would need by now; kept at the suite's fractions.

        Call it after each update, before `checkpoint`. `state` is called only when one is due, and
        changes nothing: neither weights nor random state. It returns what `load_state_dict` of a
        new generator takes. Each state kept is sampled after the fit: the course of training.
        """

    def restore(self) -> Mapping[str, Any] | None:
        """The state last checkpointed by an interrupted run of the same cell, or None."""


class Generator(Protocol):
    """A generative model that can be fitted and sampled. Implement it; do not inherit from it."""

    spec: ClassVar[GeneratorSpec]

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        """Store the arguments. Weights are drawn in `fit`, from ``run.seed``."""

    def fit(self, train: TrainData, run: Run) -> None:
        """Learn from ``train.batches(...)`` until it ends."""

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        """Draw `n` examples ``(n, *space.shape)`` of the space's dtype; same seed, same bytes.

        `labels`: int64 ``(n,)`` on the generator's device, or None.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """All that `sample` and `log_prob` need, as tensors of any shape and dtype."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict` on a freshly made generator."""


class DensityGenerator(Generator, Protocol):
    """A generator whose spec declares a likelihood."""

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """Log-probability (image, sequence) or log-density (points) of each row, nats, ``(n,)``.

        Of a waveform it is the log-probability of its samples' levels: 255 of the mu-law,
        ``round(127 (1 + sgn(x) ln(1 + 255 |x|) / ln 256))``.

        `x` is ``(n, *space.shape)`` of the space's dtype, `labels` int64 ``(n,)``; any float dtype
        may be returned. With labels given, ``log p(x | y)``. For `draws` > 1 the log-mean-exp over
        that many draws of the posterior (lower-bound) or of the dequantisation noise (dequantized).
        """


class CodedGenerator(Generator, Protocol):
    """A generator that can be looked into: optional methods, each of which may be missing.

    A code is a float32 vector of `latent_size` numbers, about N(0, I) over the data or because the
    prior says so. ``encode`` alone is fine; whoever has it or ``decode`` has `latent_size` as well.
    All of them work after `load_state_dict`, are deterministic, and leave global random state
    alone. The modules are made of the weights as they are when asked for.
    """

    @property
    def latent_size(self) -> int:
        """Numbers in one code."""

    @property
    def noise_size(self) -> int:
        """Numbers in one row of the noise that `sampler` takes."""

    def encode(self, x: Tensor) -> Tensor:
        """The codes of examples, float32 ``(n, latent_size)``.

        `x` is ``(n, *space.shape)`` of the space's dtype. No labels come with it: a probe of the
        codes must not be told the class, and a generator that is conditional finds its own way.
        """

    @property
    def decode(self) -> nn.Module:
        """The module ``decode(z, labels) -> x``, examples ``(n, *space.shape)`` of its dtype.

        `z` is float32 ``(n, latent_size)``; `labels` int64 ``(n,)``, or None where the space has no
        classes or the generator takes none.
        """

    def reconstruct(self, x: Tensor) -> Tensor:
        """Examples made of the codes of examples, ``(n, *space.shape)`` of the space's dtype.

        Where it is missing, `encode` and `decode` serve; a decoder that takes labels is asked for
        every class, and the nearest answer counts.
        """

    @property
    def sampler(self) -> nn.Module:
        """The module ``sampler(noise, labels) -> x`` whose outputs are distributed as `sample`'s.

        `noise` is float32 ``(n, noise_size)`` from N(0, I), `labels` as for `decode`. This is what
        ``genbench export`` writes, so its control flow is static: no branch on the data, no
        ``item()``, no random numbers. Where it is missing, `decode` of N(0, I) is exported.
        """


def to_uint8(x: Tensor, low: float, high: float, levels: int = 256) -> Tensor:
    """Map floats in ``[low, high]`` to grey levels ``0 .. levels - 1``, rounding and clipping.

    From any shape and float dtype to uint8 of that shape. Unlike ``(x * 255).byte()`` this neither
    truncates nor wraps around.

    Raises
    ------
    ContractError
        If `low`, the float of black, is not below `high`.
    """
    import torch

    if not low < high:
        raise ContractError(f"to_uint8 got low={low} and high={high}: low must be below high")

    scaled = (x.float() - low) * ((levels - 1) / (high - low))
    return scaled.round().clamp(0, levels - 1).to(torch.uint8)
