"""Frechet distance of Gaussians fitted to rows: at n, extrapolated over n, and per class."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg


def fid(real: Any, fake: Any) -> float:
    """``|m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r^1/2 C_f C_r^1/2)^1/2)``."""
    shift = real.mean(axis=0) - fake.mean(axis=0)
    of_real, of_fake = (np.atleast_2d(np.cov(rows.T, ddof=1)) for rows in (real, fake))
    root = _root(of_real)
    cross = _root(root @ of_fake @ root)
    return float(shift @ shift + np.trace(of_real + of_fake - 2 * cross))


def _root(symmetric: Any) -> Any:
    values, vectors = scipy.linalg.eigh(symmetric)
    return vectors * np.sqrt(values.clip(min=0)) @ vectors.T


def fid_infinity(real: Any, fake: Any, *, seed: int) -> float:
    """The intercept of a line through FID of 15 sizes, equally spaced in 1/n."""
    n, d = min(len(real), len(fake)), real.shape[1]
    sizes = [min(n, round(1 / x)) for x in np.linspace(1 / max(n / 10, 2 * d), 1 / n, 15)]
    values = []
    for size in sizes:
        rng = np.random.default_rng((seed, size))
        some = [rows[rng.permutation(len(rows))[:size]] for rows in (real, fake)]
        values.append(fid(*some))
    return float(np.polyfit(1 / np.array(sizes), values, 1)[1])


def fid_per_class(real: Any, fake: Any, *, real_labels: Any, fake_labels: Any) -> float:
    """The mean over classes of FID between the rows of a class."""
    classes = range(real_labels.max() + 1)
    return float(np.mean([fid(real[real_labels == c], fake[fake_labels == c]) for c in classes]))
