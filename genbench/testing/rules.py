"""The rules for a generator: one per check, as a sentence. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genbench import kinds


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is checked.

    Parameters
    ----------
    id
        What reports and ``only`` call it.
    sentence
        What must hold.
    needs
        Checks that must have passed before this one means anything.
    scope
        Checked once per ``generator``, for every ``kind`` of space that it declares, or for the
        kinds that name it among their `checks` (``some``).
    """

    id: str
    sentence: str
    needs: tuple[str, ...] = ()
    scope: Literal["generator", "kind", "some"] = "kind"

    def about(self, kind: str) -> bool:
        """Whether it is checked in spaces of this kind."""
        return self.scope == "kind" or self.id in kinds.of(kind).checks


_ALL = (
    Rule(
        "import",
        "Importing it takes seconds, leaves no file and changes no random state.",
        scope="generator",
    ),
    Rule(
        "spec",
        "Its spec is complete and every parameter has a default of its type.",
        ("import",),
        scope="generator",
    ),
    Rule("fit", "It fits tiny data of every kind that it declares.", ("spec",)),
    Rule("samples", "Samples have the space's shape, dtype and range, for 1, 7 and 128.", ("fit",)),
    Rule("seed", "The same seed gives the same bytes, another seed other samples.", ("samples",)),
    Rule("random-state", "Global random state is left as it was found.", ("fit",)),
    Rule("training-data", "Training rows and labels are not modified.", ("fit",)),
    Rule("unchanged", "Sampling and scoring change nothing in the generator.", ("seed",)),
    Rule("labels", "Samples are of the classes asked for, in the order asked.", ("samples",)),
    Rule("log-prob", "log_prob gives each row one finite number, by the seed alone.", ("fit",)),
    Rule(
        "density",
        "Over the plane its density integrates to 1 within 2 %; a bound to at most that.",
        ("log-prob", "samples"),
        "some",
    ),
    Rule("copies", "Samples are not copies of training rows.", ("samples",)),
    Rule("files", "Fitting and sampling leave no file in the working folder.", ("samples",)),
    Rule("state", "Its state makes the same samples in a new process.", ("seed",)),
    Rule("repeat", "A second fit with the same seed gives the same samples.", ("seed",)),
    Rule("resume", "A fit that was interrupted and resumed gives the same samples.", ("repeat",)),
    Rule(
        "snapshots",
        "Its snapshots are made in a moment, can be sampled, and change no sample of the fit.",
        ("repeat",),
    ),
    Rule("stop", "It stops within ten seconds of being told.", ("fit",)),
    Rule("device", "All tensors follow the device it was given.", ("samples",)),
    Rule(
        "codes",
        "Codes, where it has some, are finite float32 of latent_size, by the row and state alone.",
        ("fit",),
    ),
    Rule(
        "decode",
        "Codes decode to examples of the space, and rows are given back as such, by state alone.",
        ("fit",),
    ),
    Rule(
        "sampler",
        "Its sampler makes examples of the space out of noise, by noise, labels and state alone.",
        ("fit",),
    ),
    Rule(
        "probability",
        "Over the 256 images of 2 x 2 pixels and 4 levels, exact probabilities sum to 1 "
        "within 0.001; bounds to at most that.",
        ("log-prob",),
        "some",
    ),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in _ALL}
