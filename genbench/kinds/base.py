"""The questions that a kind of data answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Shown = Literal["grid", "scatter", "text", "player", ""]
Check = Literal["density", "probability"]
Control = Literal["heldout", "train-copy", "gaussian", "noise", "mode-dropped", "logmel-gaussian"]
Files = Literal["arrays", "csv", "images", "sounds", "texts"]
Classical = Literal["affine", "edits", "sound", ""]


class SpaceFields(Protocol):
    """The fields of a `genbench.generator.Space`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def levels(self) -> int: ...
    @property
    def classes(self) -> int: ...
    @property
    def pad(self) -> int | None: ...
    @property
    def rate(self) -> int: ...
    @property
    def dims(self) -> int: ...


@dataclass(frozen=True, slots=True)
class LikelihoodUnit:
    """The unit in which the likelihood of a kind is reported: ``nats`` of a row, or bits by the
    part of a row that `DataKind.parts` counts.

    It is `dequantised` if ``dequantized`` likelihoods have noise to average over: not those of
    measured numbers, whose density is asked for itself; `integrable` if log_prob is a density over
    the plane or the line, that a grid can integrate. `signed` is the unit as signatures say it;
    empty where they do not, because it was never another. `quantised` are the levels that values
    are counted on where the rows are no integers, in words; log_prob is of those levels then.
    """

    unit: str
    dequantised: bool = True
    integrable: bool = False
    signed: str = ""
    quantised: str = ""

    @property
    def in_bits(self) -> bool:
        """Whether it is counted in bits by parts of a row."""
        return self.unit != "nats"


@dataclass(frozen=True, slots=True)
class Tiny:
    """The fields of the space that generators of a kind are checked on."""

    shape: tuple[int, ...]
    levels: int = 0
    classes: int = 0
    pad: int | None = None
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """The entries that `genbench new suite` writes for a kind that it can read.

    The metric that ranks; the passes over the train split that the budget allows; the metrics
    beyond those that every suite gets; those that need labels; those of texts that may be taken
    by words; those made of the log-probabilities of another. The optimal-transport metrics and the
    likelihood of many draws stand in it where rows are short enough for them: not `long`.
    """

    primary: str
    epochs: int
    metrics: tuple[str, ...] = ()
    of_labels: tuple[str, ...] = ()
    of_words: tuple[str, ...] = ()
    of_likelihood: tuple[str, ...] = ()
    long: bool = False


class DataKind(ABC):
    """A kind of data, and all that the rest of genbench has to know of it.

    Attributes
    ----------
    name
        As suites and specs have it.
    dtype
        Name of the torch and NumPy dtype of a batch.
    cast
        The remedy for rows of another dtype.
    tiny
        The space that generators are checked on; its rows are `tiny_rows`.
    checks
        Checks of generators that this kind makes possible, beside those of all kinds.
    likelihood
        How likelihoods are told.
    pictures
        Whether rows are pictures ``(C, H, W)``, levels shades: rows that come in another layout or
        on another scale are recognised, and floats between black and white become levels.
    columns
        Whether rows are measured numbers in columns ``(d,)`` with a name, a spread and a precision
        each, that come in float64 and are kept in float32: the extractors ``identity`` and
        ``standardised`` read them.
    labelled
        Whether rows of a user's own file may come with class labels.
    sounds
        Whether rows are waveforms ``(T,)`` at the sampling rate of their space.
    texts
        Whether rows are token ids of texts, which a data set's vocabulary spells.
    repeats
        Whether equal rows are no copies of each other, as those of rounded numbers are not.
    shown_as
        How samples are shown; a report shows what somebody draws.
    scored_from
        The files that rows made elsewhere may come in.
    synthesised_as
        The files of a data set of synthetic rows; empty where there is none to write.
    controls
        The controls that can make rows of it; ``mode-dropped`` needs classes or points.
    judges
        The classifiers that the downstream protocols may train on labelled rows, by their names in
        `genbench.downstream`; the first is taken where a suite names none. Empty for none.
    classical
        The family of transforms that leave a row's label as it is; empty for none.
    attackable
        Whether a small change of every value is one that nobody sees, so that a classifier's
        robustness against it says something.
    draft
        What a new suite of it looks like; None where ``genbench new suite`` reads none.
    """

    name: str
    dtype: str
    cast: str = "cast it"
    tiny: Tiny
    checks: tuple[Check, ...] = ()
    likelihood: LikelihoodUnit = LikelihoodUnit("nats")
    pictures: bool = False
    columns: bool = False
    labelled: bool = False
    sounds: bool = False
    texts: bool = False
    repeats: bool = False
    shown_as: Shown = ""
    scored_from: tuple[Files, ...] = ("arrays",)
    synthesised_as: Files | None = None
    controls: tuple[Control, ...] = ("heldout", "train-copy")
    judges: tuple[str, ...] = ()
    classical: Classical = ""
    attackable: bool = False
    draft: Draft | None = None

    @abstractmethod
    def tiny_rows(self, space: SpaceFields, n: int) -> Tensor:
        """`n` rows ``(n, *shape)`` of a tiny space, the same every time, hardly two alike."""

    def complaint(self, table: Mapping[str, Any]) -> tuple[str, str, str] | None:
        """The fault in the fields of a space, the remedy and the key; or None.

        `table` is ``[dataset.space]`` of a suite, whose keys and types are right already.
        """
        return None

    def outside(self, x: Any) -> str | None:
        """The range that values leave, such as ``[-1, 1]``; or None.

        They are rows as an array or tensor of the right shape and dtype, finite, not empty.
        """
        return None

    def violation(self, space: SpaceFields, x: Any, n: int) -> str | None:
        """The reason that `x` is not `n` examples of a space of this kind; or None."""
        import torch

        if not isinstance(x, torch.Tensor):
            return f"is a {type(x).__name__}, not a torch.Tensor: return a tensor"
        want = (n, *space.shape)
        if tuple(x.shape) != want:
            return f"has shape {tuple(x.shape)}, expected {want}"
        if x.dtype != getattr(torch, self.dtype):
            return f"has dtype {x.dtype}, expected torch.{self.dtype}: {self.cast}"
        if x.numel() == 0 or x.device.type == "meta":
            return None
        if x.is_floating_point() and not bool(torch.isfinite(x).all()):
            rows = (~torch.isfinite(x)).flatten(1).any(1)
            first = int(rows.nonzero()[0])
            return f"holds NaN or infinity in {int(rows.sum())} of {n} rows (first: row {first})"
        low, high = int(x.amin()), float(x.amax())
        if space.levels and (low < 0 or high >= space.levels):
            return f"has values in {low}..{high:g}, expected 0..{space.levels - 1}"
        left = self.outside(x)
        return self.broken(space, x) if left is None else f"leaves {left}: scale or clip it"

    def broken(self, space: SpaceFields, x: Any) -> str | None:
        """The reason that rows of values in range are none of the space; or None.

        They are rows as an array or tensor, as for `outside`.
        """
        return None

    def parts(self, space: SpaceFields, rows: Any, characters: Any = None) -> float:
        """The parts of a row that bits are counted by: its scalars, on average over `rows`.

        `characters` are the lengths ``(n,)`` of the rows as texts, where a vocabulary spells them.
        """
        return space.dims

    def events(self, space: SpaceFields, rows: Any) -> Any:
        """The draws that make each of `rows` ``(n, ...)``, ``(n,)``: a scalar each."""
        return (rows == rows).reshape(len(rows), -1).sum(1)

    def classifiable(self, space: SpaceFields) -> bool:
        """Whether the kind's `judges` can read such rows."""
        return bool(self.judges)

    def default_extractor(self, classes: int) -> str:
        """The feature space of a new suite: an extractor, or ``train`` for one trained on it."""
        return "identity"

    def described(self, space: SpaceFields) -> str:
        """One row in words, such as ``2 numbers``, for the description of a new suite."""
        return f"{self.name} of shape {space.shape}"
