"""The result of a check, and all results about one generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genbench.testing.rules import RULES

Status = Literal["passed", "failed", "not checked"]
NOT_OFFERED = "it does not have that"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Parameters
    ----------
    check
        Its id, a key of `genbench.testing.RULES`.
    kind
        The kind of space it was made on; None where that does not matter.
    detail
        What broke and what to do, or why it was not checked; empty if it passed.
    traceback
        Where the generator raised, if it did.
    """

    check: str
    kind: str | None
    status: Status
    detail: str = ""
    traceback: str = ""
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """The rule as a sentence."""
        return RULES[self.check].sentence

    @property
    def is_about_nothing(self) -> bool:
        """Whether what was to be checked is optional, and the generator does not have it."""
        return self.detail == NOT_OFFERED

    @property
    def label(self) -> str:
        """Such as ``samples (image)``."""
        return f"{self.check} ({self.kind})" if self.kind else self.check

    def to_json(self) -> dict[str, Any]:
        """As JSON data, the sentence with it."""
        return {**dataclasses.asdict(self), "sentence": self.sentence}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> CheckResult:
        """Undo `to_json`."""
        return cls(**{k: v for k, v in body.items() if k != "sentence"})


@dataclass(frozen=True, slots=True)
class Conformance:
    """All that was checked of one generator.

    Parameters
    ----------
    name, provider
        The generator's name and where it comes from.
    """

    name: str
    provider: str
    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed. One that was not checked is no failure, and no pass either."""
        return not any(r.status == "failed" for r in self.results)

    def count(self, status: Status) -> int:
        """The number of checks that ended like this."""
        return sum(r.status == status for r in self.results)

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "generator": self.name,
            "provider": self.provider,
            "ok": self.ok,
            "checks": [r.to_json() for r in self.results],
        }
