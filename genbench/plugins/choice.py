"""A generator with all its parameters, as the user chose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genbench.plugins.finding import Description, GeneratorRef
from genbench.results import is_control


@dataclass(frozen=True, slots=True)
class GeneratorChoice:
    """A generator with all its parameters: what a row of the leaderboard stands for.

    Parameters
    ----------
    params, params_passed
        All parameters, and those that the user set.
    """

    ref: GeneratorRef
    description: Description
    params: Mapping[str, Any]
    params_passed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The generator's name."""
        return self.ref.name

    @property
    def is_control(self) -> bool:
        """Whether it is one of genbench's own control rows."""
        return is_control(self.ref.name, self.ref.provider)

    @property
    def is_external(self) -> bool:
        """Whether there is no generator at all, only samples made elsewhere."""
        return self.ref.module is None and self.ref.file is None and not self.ref.inline

    def for_kind(self, kind: str) -> GeneratorChoice:
        """The same, declared as it is of one kind of data."""
        return replace(self, description=self.description.for_kind(kind))

    def identity(self) -> dict[str, Any]:
        """The parts of a generator that tell two cells apart."""
        return {
            "name": self.name,
            "version": self.description.version,
            "provider": self.ref.provider,
            "source": self.description.source,
            "params": dict(self.params),
        }

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "ref": self.ref.to_json(),
            "description": self.description.to_json(),
            "params": dict(self.params),
            "params_passed": dict(self.params_passed),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> GeneratorChoice:
        """Undo `to_json`."""
        return cls(
            GeneratorRef.from_json(body["ref"]),
            Description.from_json(body["description"]),
            body["params"],
            body["params_passed"],
        )
