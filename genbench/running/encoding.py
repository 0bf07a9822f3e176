"""The generator's side of a look inside: its codes of real rows, and what it makes of codes.

Runs in a process that has the stored state and the reference rows, as that for `log_prob` has; what
it finds goes to the harness as arrays. No label enters a code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genbench import kinds
from genbench.data import Split
from genbench.plugins import Coded, Stopped
from genbench.running.codesplan import STEPS, CodesPlan, pictured
from genbench.seeds import derive_seed

Array = npt.NDArray[Any]

CHUNK = 500  # rows in a call
REACH = 2.5  # deviations to either side that a traversal goes
TRIED = 4  # rows on which it is told how much each number of a code changes


class Look:
    """A look inside one generator.

    Parameters
    ----------
    stopping
        Asked between calls; True ends the look with `Stopped`.
    report
        Told ``(done, total, scalars)``.
    """

    def __init__(
        self,
        coded: Coded,
        plan: CodesPlan,
        device: torch.device,
        stopping: Callable[[], bool],
        report: Callable[[int, int, dict[str, float]], None],
    ) -> None:
        self._coded, self._plan, self._device = coded, plan, device
        self._stopping, self._report = stopping, report

    def take(self, train: Split, reference: Split) -> Iterator[dict[str, Array]]:
        """The arrays of the look, those that the generator can give, as they come.

        ``train`` and ``test`` are codes ``(n, latent_size)``, ``rebuilt`` the reference rows given
        back; ``interpolated`` and ``traversed`` are pictures, ``(rows, STEPS, *shape)``.
        """
        coded, real, codes = self._coded, self._plan.of_reference(reference), None
        if coded.encodes:
            yield {"train": self._by_chunks(coded.encode, self._plan.of_train(train).x)}
            codes = self._by_chunks(coded.encode, real.x)
            yield {"test": codes}
        if coded.reconstructs:
            yield {"rebuilt": self._by_chunks(coded.reconstruct, real.x)}
        if coded.decodes and kinds.of(coded.space.kind).pictures:
            yield from self._pictures(codes, real.y, len(real.x))

    def _pictures(
        self, codes: Array | None, y: npt.NDArray[np.int64] | None, n: int
    ) -> Iterator[dict[str, Array]]:
        """From one row to another of its class, and along the numbers that change most."""
        pairs = pictured(y, n)
        if not len(pairs):
            return
        labels = None if y is None else torch.from_numpy(y[pairs[:, 0]])
        ends = None if codes is None else torch.from_numpy(codes[pairs])  # (pairs, 2, size)
        if ends is not None:
            share = torch.linspace(0, 1, STEPS)[:, None]
            between = ends[:, :1] + share * (ends[:, 1:] - ends[:, :1])
            yield {"interpolated": self._decoded(between, labels)}
        base = self._bases(len(pairs)) if ends is None else ends[:, 0]
        spread = torch.ones(base.shape[1])
        if codes is not None:
            spread = torch.from_numpy(codes.std(0).astype(np.float32))
        yield {"traversed": self._decoded(self._along(base, spread, labels), labels)}

    def _bases(self, n: int) -> Tensor:
        """Codes to begin at where none are known, the same for all generators of one size."""
        rng = torch.Generator().manual_seed(derive_seed(0, "codes", "base"))
        return torch.randn(n, self._coded.latent_size, generator=rng)

    def _along(self, base: Tensor, spread: Tensor, labels: Tensor | None) -> Tensor:
        """Row i of `base` with its i-th most telling number moved, ``(n, STEPS, size)``."""
        moved = torch.linspace(-REACH, REACH, STEPS)
        order = self._most_telling(base[:TRIED], spread, labels)
        codes = base[:, None].repeat(1, STEPS, 1)
        for row in range(len(base)):
            at = order[row % len(order)]
            codes[row, :, at] = moved * spread[at]
        return codes

    def _most_telling(self, base: Tensor, spread: Tensor, labels: Tensor | None) -> list[int]:
        """The numbers of a code by how much of the picture they change, most first."""
        change = []
        for at in range(base.shape[1]):
            ends = base[:, None].repeat(1, 2, 1)
            ends[:, 0, at], ends[:, 1, at] = -REACH * spread[at], REACH * spread[at]
            seen = self._decoded(ends, None if labels is None else labels[: len(base)])
            off = seen[:, 1].astype(np.float32) - seen[:, 0]
            change.append(float(np.square(off).mean()))
        return [int(at) for at in np.argsort(-np.array(change), kind="stable")]

    def _decoded(self, codes: Tensor, labels: Tensor | None) -> Array:
        """Examples ``(n, steps, *shape)`` of codes ``(n, steps, size)``, a label for each n."""
        if self._stopping():
            raise Stopped
        n, steps, size = codes.shape
        y = None if labels is None else labels.repeat_interleave(steps).to(self._device)
        x = self._coded.decode(codes.reshape(n * steps, size).to(self._device), y)
        found: Array = x.cpu().numpy().reshape(n, steps, *self._coded.space.shape)
        return found

    def _by_chunks(self, work: Callable[[Tensor], Tensor], x: Array) -> Array:
        parts = []
        for start in range(0, len(x), CHUNK):
            if self._stopping():
                raise Stopped
            rows = torch.from_numpy(x[start : start + CHUNK]).to(self._device)
            parts.append(work(rows).cpu().numpy())
            self._report(min(start + CHUNK, len(x)), len(x), {})
        return np.concatenate(parts)
