"""CUDA graphs: a step recorded on a stream of its own and replayed. The one place that makes them.

A capture that fails leaves torch in a state from which nothing more could be drawn or captured;
`CudaGraphs.capture` takes that back. What the card did up to then is not touched, since a step that
is recorded does not run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

Outputs = tuple[Tensor, ...]


class CudaGraphs:
    """The `genbench.system.capture.GraphBackend` of one card.

    Parameters
    ----------
    device
        The card.
    generators
        Generators on the card that the step draws from; the card's own default one is known anyway.
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]) -> None:
        self._device = device
        self._generators = tuple(generators)
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def eager(self, step: Callable[[], Outputs]) -> Outputs:
        """Run the step on the stream that captures it: libraries keep work space for each."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outputs = step()
        current.wait_stream(self._stream)
        return outputs

    def capture(self, step: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """Record the step; what replays it and returns the tensors that hold its outputs then.

        Raises
        ------
        Exception
            Whatever the step or CUDA raised; torch is then as it was.
        """
        graph = torch.cuda.CUDAGraph()
        with self._undone_if_it_fails(graph):
            for generator in self._generators:
                graph.register_generator_state(generator)
            with torch.cuda.graph(graph, stream=self._stream):
                outputs = step()

        def replay() -> Outputs:
            graph.replay()
            return outputs

        return replay

    @contextlib.contextmanager
    def _undone_if_it_fails(self, graph: torch.cuda.CUDAGraph) -> Iterator[None]:
        """Take back what a failed capture leaves behind: the stream, generators, the memory pool.

        A generator whose capture did not end refuses to draw ("Offset increment outside graph
        capture encountered unexpectedly"), so it gets the copy of its state from before.
        """
        index = torch.cuda.current_device() if self._device.index is None else self._device.index
        generators = (*self._generators, torch.cuda.default_generators[index])
        before = [generator.clone_state() for generator in generators]
        # The outer stream context puts the stream back, which torch.cuda.graph does not on errors.
        with torch.cuda.device(index), torch.cuda.stream(torch.cuda.current_stream(index)):
            try:
                yield
            except BaseException:
                for generator, state in zip(generators, before, strict=True):
                    generator.graphsafe_set_state(state)
                with contextlib.suppress(AttributeError, RuntimeError):  # ended already, mostly
                    torch._C._cuda_endAllocateToPool(index, graph.pool())
                raise
