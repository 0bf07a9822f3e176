"""Checks of the optional methods of a generator that can be looked into, where it has them.

Each has a step in the process of the fit, which leaves what was answered, and one in a new process
that loads the state and asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genbench.errors import ContractError
from genbench.plugins import Coded
from genbench.system import tensorfile
from genbench.testing.continuation import STATE
from genbench.testing.subject import NotOffered, Subject, changed, random_states, require
from genbench.testing.tiny import tiny_labels, tiny_rows

N, FEWER = 32, 7
CLOSE = 1e-3  # of what other rows of a batch may change in a code, beside the codes' size
ANSWERS = "{}.safetensors"


def codes(subject: Subject) -> None:
    """Codes of tiny rows: shape, finiteness, the same at every call and in every batch."""
    coded = _coded(subject)
    z = _answered(subject, "codes", _codes)
    own = coded.encode(tiny_rows(subject.space, N)[:FEWER])
    off = float((own - z[:FEWER]).abs().max() / z.abs().max().clamp_min(1e-6))
    require(
        off <= CLOSE,
        f"the code of a row changes by {off:.0%} with the other rows of its batch: put networks "
        "into eval()",
    )


def decode(subject: Subject) -> None:
    """Examples of codes, and examples given back."""
    _answered(subject, "decode", _decoded)


def sampler(subject: Subject) -> None:
    """Examples of noise."""
    _answered(subject, "sampler", _drawn)


def codes_again(subject: Subject) -> None:
    """In a new process: the same codes by the stored state."""
    _restored(subject, "codes", _codes)


def decode_again(subject: Subject) -> None:
    """In a new process: the same examples of codes by the stored state."""
    _restored(subject, "decode", _decoded)


def sampler_again(subject: Subject) -> None:
    """In a new process: the same examples of noise by the stored state."""
    _restored(subject, "sampler", _drawn)


def _codes(coded: Coded) -> Tensor:
    if not coded.encodes:
        raise NotOffered
    return coded.encode(tiny_rows(coded.space, N))


def _decoded(coded: Coded) -> Tensor:
    if not coded.decodes and not coded.reconstructs:
        raise NotOffered
    found, x = [], tiny_rows(coded.space, N)
    if coded.reconstructs:
        found.append(coded.reconstruct(x))
    if coded.decodes:
        z = coded.encode(x) if coded.encodes else _noise(coded.latent_size)
        found.append(coded.decode(z, tiny_labels(coded.space, N)))
    return torch.cat(found)


def _drawn(coded: Coded) -> Tensor:
    if "sampler" not in coded.offered:
        raise NotOffered
    return coded.draw(_noise(coded.noise_size), tiny_labels(coded.space, N))


def _noise(size: int) -> Tensor:
    return torch.randn(N, size, generator=torch.Generator().manual_seed(0))


def _coded(subject: Subject) -> Coded:
    return Coded(subject.fitted().generator, subject.space)


def _answered(subject: Subject, check: str, ask: Callable[[Coded], Tensor]) -> Tensor:
    """What was asked for, the same twice and no random state changed; kept with the state."""
    coded = _coded(subject)
    before = random_states()
    one, same = ask(coded), ask(coded)
    blamed = changed(before)
    require(torch.equal(one, same), "the same call gave another answer: draw no random numbers")
    require(
        not blamed,
        f"global random state was changed by {', '.join(blamed)}: draw no random numbers",
    )
    tensorfile.save(subject.folder / STATE, subject.fitted().generator.state_dict())
    tensorfile.save(subject.folder / ANSWERS.format(check), {"answer": one})
    return one


def _restored(subject: Subject, check: str, ask: Callable[[Coded], Tensor]) -> None:
    generator: Any = subject.make()
    generator.load_state_dict(tensorfile.load(subject.folder / STATE))
    answer = tensorfile.load(subject.folder / ANSWERS.format(check))["answer"]
    if not torch.equal(ask(Coded(generator, subject.space)), answer):
        raise ContractError(
            "after load_state_dict() in a new process the answer is another: put all that it needs "
            "into state_dict()"
        )
