"""Classes of the caller's own process, fitted and sampled in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from genbench.running.cellspec import CellSpec
from genbench.running.course import CourseLedger, points_of, settle
from genbench.running.executors import Ended, Executor
from genbench.running.ledger import LIKELIHOOD, CellLedger, inherit_checkpoint
from genbench.system import save_arrays


class InProcessExecutor:
    """Fits and samples classes of this process here, and leaves all else to another executor.

    Parameters
    ----------
    inner
        Scores what was sampled here, and runs every other cell.
    classes
        The classes by generator name.
    """

    def __init__(self, inner: Executor, classes: Mapping[str, type]) -> None:
        self._inner = inner
        self._classes = classes
        self.jobs = inner.jobs
        self.here = inner.here

    @property
    def stopping(self) -> bool:
        """See `genbench.running.executors.Executor`."""
        return self._inner.stopping

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._inner.stopping = value

    def submit(self, spec: CellSpec) -> None:
        """Run the generator here if it lives here, then start a worker that scores."""
        if spec.generator.ref.inline and spec.reuse is None:
            from genbench.running.generation import Generation

            spec.folder.mkdir(parents=True, exist_ok=True)
            cls = self._classes[spec.generator.name]
            ledger = CellLedger(
                spec.folder,
                spec.suite.space,
                spec.suite.n_samples,
                resumed=spec.resume is not None,
                costs_before=inherit_checkpoint(spec.resume, spec.folder),
            )
            with torch_left_as_found():
                Generation(spec, ledger, cls=cls, stopping=lambda: self.stopping).run()
                if spec.suite.course is not None and ledger.result.offers_snapshots:
                    self._draw_course(spec, ledger)
            if ledger.likelihood:
                save_arrays(spec.folder / LIKELIHOOD, ledger.likelihood)
        self._inner.submit(spec)

    def _draw_course(self, spec: CellSpec, ledger: CellLedger) -> None:
        """Sample the states that the fit kept; the worker finds the rows."""
        from genbench.running.generation import Generation

        if ledger.result.status != "ok":
            return
        points = points_of(spec.folder, ledger.result.examples_served)
        drawing = CourseLedger(spec, points)
        cls = self._classes[spec.generator.name]
        Generation(spec, drawing, cls=cls, stopping=lambda: self.stopping).draw_course(points)
        problem = (drawing.result.error or {}).get("message")
        ledger.result.lost_points.update(settle(spec.folder, drawing, problem))
        ledger.result.timing.update(drawing.course_timing)
        ledger.keep()

    def poll(self, seconds: float) -> list[Ended]:
        """See `genbench.running.executors.Executor.poll`."""
        return self._inner.poll(seconds)

    def stop(self) -> None:
        """Ask every worker to end."""
        self._inner.stop()

    def kill(self) -> None:
        """End every worker now; what runs here ends at its next batch."""
        self._inner.kill()

    def close(self) -> None:
        """End what still runs."""
        self._inner.close()


@contextmanager
def torch_left_as_found() -> Iterator[None]:
    """Undo what a cell sets in torch and the BLAS libraries."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    card = torch.cuda.current_device() if used else None
    cudnn, workspace = torch.backends.cudnn, os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    benchmark, deterministic = cudnn.benchmark, cudnn.deterministic
    with threadpool_limits():  # restores each library's threads
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            if card is not None:
                torch.cuda.set_device(card)
            torch.set_flush_denormal(False)
            cudnn.benchmark, cudnn.deterministic = benchmark, deterministic
            if workspace is None:
                os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
