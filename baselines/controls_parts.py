"""The parts of the controls: rows kept and drawn, sectors, moments, labels in proportion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.errors import ContractError
from genbench.generator import Samples

CHUNK = 1024  # rows that are made float at a time
SECTORS = 8  # modes of unlabelled points: equal angles around the mean, as in the ring of Gaussians


class Rows:
    """Real rows, drawn without replacement.

    Parameters
    ----------
    owner
        The control whose rows they are, to name it.
    """

    def __init__(self, owner: str, device: torch.device) -> None:
        self._owner = owner
        self._device = device
        self.state: dict[str, Tensor] = {}

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.state["x"]) if self.state else 0

    def keep(self, x: Tensor, y: Tensor | None) -> None:
        """Take in rows of the space and their labels, int64 ``(n,)``."""
        self.state = {"x": x.to(self._device)}
        if y is not None:
            self.state["y"] = y.to(self._device)

    def draw(self, n: int, seed: int) -> Tensor | Samples:
        """Different rows in random order; ContractError if there are fewer than `n`."""
        if n > self.n:
            raise ContractError(
                f"{self._owner} was asked for {n} rows and has {self.n}: "
                "ask for no more than available() says; rows are never repeated"
            )
        rng = torch.Generator().manual_seed(seed)
        order = torch.randperm(self.n, generator=rng)
        rows = order[:n].to(self._device)
        x = self.state["x"][rows]
        return Samples(x, self.state["y"][rows]) if "y" in self.state else x


def sectors(x: Tensor) -> Tensor:
    """The one of eight equal angles around the mean that each point lies in, int64 ``(n,)``.

    Counter-clockwise in the first two coordinates; the first is centred on the first axis.
    """
    centred = x[:, :2] - x[:, :2].mean(0)
    angle = torch.atan2(centred[:, 1], centred[:, 0])
    return (angle / (2 * math.pi / SECTORS)).round().long() % SECTORS


def mean_and_factor(x: Tensor, *, own_scales: bool) -> tuple[Tensor, Tensor]:
    """Mean ``(d,)`` and a square root ``(d, d)`` of the covariance of ``(n, d)``, both float32."""
    wide = x.double()
    mean = wide.mean(0) if len(wide) else wide.new_zeros(wide.shape[1])
    centred = wide - mean
    covariance = centred.T @ centred / max(1, len(wide) - 1)
    covariance.diagonal().add_(_jitter(covariance.diagonal(), own_scales=own_scales))
    return mean.float(), torch.linalg.cholesky(covariance).float()


def mean_and_jitter(x: Tensor, *, own_scales: bool) -> tuple[Tensor, Tensor]:
    """Mean ``(d,)`` of ``(n, d)`` and what is added to each column's variance, both float32.

    With the rows themselves they are the covariance that `mean_and_factor` takes the root of.
    """
    total, squares = torch.zeros(x.shape[1]).double(), torch.zeros(x.shape[1]).double()
    for part in x.split(CHUNK):
        total += part.double().sum(0)
    mean = total / max(1, len(x))
    for part in x.split(CHUNK):
        squares += (part.double() - mean).square().sum(0)
    jitter = _jitter(squares / max(1, len(x) - 1), own_scales=own_scales)
    return mean.float(), jitter.float()


def _jitter(variance: Tensor, *, own_scales: bool) -> Tensor:
    """What is added to the variances ``(d,)``, so that Cholesky takes columns that never change.

    A millionth of their mean; rounding to grey levels hides it. With `own_scales` a column gets at
    most a thousandth of its own variance: beside a column in thousands, one in hundredths would
    else be nothing but that.
    """
    tiny = torch.finfo(torch.float64).tiny
    jitter = 1e-6 * variance.mean() + tiny
    return (
        torch.minimum(jitter, 1e-3 * variance + tiny) if own_scales else jitter.expand_as(variance)
    )


def spread_of_rows(x: Tensor, mean: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """`n` draws ``(n, d)`` of a Gaussian about 0 with the covariance of the rows ``(m, d)``.

    Sums of the centred rows with standard normal weights over ``sqrt(m - 1)``: no ``(d, d)`` is
    ever held.
    """
    total = torch.zeros(n, x.shape[1], device=x.device)
    for part in x.split(CHUNK):
        weights = torch.randn(n, len(part), generator=rng).to(x.device)
        total += weights @ (part.float() - mean)
    return total / math.sqrt(max(1, len(x) - 1))


def proportional_labels(count: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """`n` labels in the proportions of `count`, rows by class (largest remainder), shuffled."""
    share = count.double() * (n / int(count.sum()))
    quota = share.floor().long()
    rest = n - int(quota.sum())
    quota[torch.argsort(share - quota, descending=True, stable=True)[:rest]] += 1
    labels = torch.repeat_interleave(torch.arange(len(count)), quota)
    return labels[torch.randperm(n, generator=rng)]


def frequencies(x: Tensor, levels: int, pad: int | None) -> Tensor:
    """How often each token occurs in texts ``(n, length)``, float64 ``(levels,)``.

    Of paddings only the first of each text counts, which ends it.
    """
    if pad is None:
        return torch.bincount(x.flatten(), minlength=levels).double()
    counts = torch.bincount(x[x != pad], minlength=levels).double()
    counts[pad] = (x == pad).any(1).sum()
    return counts


def drawn_tokens(frequency: Tensor, n: int, length: int, rng: torch.Generator) -> Tensor:
    """Independent tokens ``(n, length)`` of these frequencies ``(levels,)``."""
    flat = torch.multinomial(frequency, n * length, replacement=True, generator=rng)
    return flat.reshape(n, length)


def ended(x: Tensor, pad: int | None) -> Tensor:
    """The texts ``(n, length)`` with padding after their first padding."""
    if pad is None:
        return x
    return torch.where((x == pad).cumsum(1) > 0, pad, x)


def levels(x: Tensor) -> Tensor:
    """The root mean square of each waveform ``(n, T)``."""
    return x.float().square().mean(1).sqrt()


def white(level: Tensor, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """White noise ``(n, T)`` of levels drawn from those of real rows ``(m,)``; clipped."""
    chosen = level[torch.randint(len(level), (shape[0],), generator=rng)]
    return (chosen[:, None] * torch.randn(shape, generator=rng)).clamp(-1, 1)


def mean_power(x: Tensor) -> Tensor:
    """The mean power of waveforms ``(n, T)`` by frequency, ``(T // 2 + 1,)``; 0 for none."""
    if len(x) == 0:
        return torch.zeros(x.shape[1] // 2 + 1)
    total = torch.zeros(x.shape[1] // 2 + 1, dtype=torch.float64)
    for rows in x.split(256):
        total += torch.fft.rfft(rows.double()).abs().square().sum(0)
    return (total / len(x)).float()


def coloured(power: Tensor, n: int, length: int, rng: torch.Generator) -> Tensor:
    """Stationary Gaussian noise ``(n, length)`` whose expected power by frequency is `power`."""
    spectrum = torch.fft.rfft(torch.randn(n, length, generator=rng))
    return torch.fft.irfft(spectrum * (power / length).sqrt(), length).clamp(-1, 1)
