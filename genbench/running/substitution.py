"""What synthetic rows are worth in place of real ones (TSTR) in one cell: `downstream.tstr`.

Its classifiers need the samples alone, so that they begin to train before metrics are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from genbench.data import Split
from genbench.downstream import Arms, beside, train_on_synthetic
from genbench.errors import GenbenchError, MetricError
from genbench.formats import Vocabulary
from genbench.metrics import METRICS, MetricValue
from genbench.running.ahead import Meanwhile
from genbench.running.cellspec import CellSpec
from genbench.running.recording import LOG
from genbench.system import Slots

Array = NDArray[Any]
IDS = ("tstr_accuracy", "trtr_accuracy", "trts_accuracy")


class Substitution:
    """The classifiers of ``[downstream.tstr]``, which begin at once where a core is idle.

    Parameters
    ----------
    table
        That of the suite.
    given
        Training rows, samples (``x``, and ``y`` where there are labels) and test rows.
    kept
        A folder for the weights of these rows' classifiers.
    words
        What texts are spelt with.
    progress
        Told what is being computed; may raise to stop.
    slots
        Where an idle core comes from; None for none.
    """

    def __init__(
        self,
        spec: CellSpec,
        table: Mapping[str, Any],
        given: tuple[Split, Mapping[str, Array], Split],
        kept: Path,
        words: Vocabulary | None,
        progress: Callable[[str], None],
        slots: Slots | None,
    ) -> None:
        train, samples, self._test = given
        self._progress = progress
        self._judges: dict[str, Arms] = {}
        self._problem: GenbenchError | None = None
        try:
            arms = Arms(
                train,
                samples["x"],
                samples.get("y"),
                spec.suite.space,
                n=int(table["n"]),
                steps=int(table["steps"]),
                batch_size=int(table["batch_size"]),
                seed=spec.seed,
                replicates=int(table.get("replicates", 1)),
                device=spec.device,
                cache=spec.cache,
                kept=kept,
                words=words,
            )
            self._judges = {name: arms.judged_by(name) for name in table.get("judges", [""])}
        except GenbenchError as error:
            self._problem = error
        works = [work for judge in self._judges.values() for work in judge.trainings()]
        self._ahead = Meanwhile(works, slots, kept, spec.folder / LOG)

    def stop(self) -> None:
        """End the trainings that are under way."""
        self._ahead.stop()

    def score(self) -> dict[str, MetricValue]:
        """The shares classified correctly, or a typed reason in place of each."""
        self._progress(IDS[0])
        try:
            if self._problem is not None:
                raise self._problem
            self._ahead.finish(self._progress)
            found = [train_on_synthetic(judge, self._test) for judge in self._judges.values()]
            others = dict(zip([*self._judges][1:], found[1:], strict=True))
            return beside(found[0], others) if others else found[0]
        except MetricError as error:
            return {id_: unmeasured(id_, error.status, str(error)) for id_ in IDS}
        except GenbenchError as error:
            return {id_: unmeasured(id_, "failed", str(error)) for id_ in IDS}


def unmeasured(id_: str, status: Any, reason: str) -> MetricValue:
    """A typed cell for a downstream metric that has no number."""
    info = METRICS[id_]
    return MetricValue(
        status=status,
        reason=reason,
        unit=info.unit,
        higher_is_better=info.higher_is_better,
        signature=f"{id_}|reference=test",
    )
