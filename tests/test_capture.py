"""A captured step gives what the step gives; one that cannot be captured goes on and says why."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genbench.generator
from genbench.baselines.vae_image import sum_by_level
from genbench.errors import ContractError
from genbench.generator import CapturedStep, Space, captures, move_average, optimizer_options
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData
from genbench.system.cudagraphs import CudaGraphs
from tests.without_a_card import Graphs, graphs

CPU = torch.device("cpu")
Spoil = Callable[["Model", Tensor, Tensor], Tensor]


class Model:
    """A small training: network, optimiser, average and a memory; `spoil` is a bad habit."""

    def __init__(self, spoil: Spoil | None = None) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
        self.adam = torch.optim.Adam(self.net.parameters(), **optimizer_options(CPU))
        self.average = [p.detach().clone() for p in self.net.parameters()]
        self.memory = torch.zeros(4)
        self.calls = 0
        self.spoil = spoil

    def step(self, x: Tensor, y: Tensor | None, rate: float | Tensor) -> tuple[Tensor, ...]:
        out = self.net(x)[:, 0]
        loss = (out - x.sum(1) if y is None else out - y).square().mean()
        if self.spoil is not None:
            loss = self.spoil(self, loss, x)
        self.adam.param_groups[0]["lr"] = rate
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        move_average(self.average, self.net.parameters(), rate)
        return loss.detach(), out.detach().mean()

    def state(self) -> list[Tensor]:
        return [*self.net.state_dict().values(), *self.average, self.memory]


def batches(sizes: list[int]) -> list[tuple[Tensor, Tensor, float]]:
    rng = torch.Generator().manual_seed(1)
    return [
        (torch.randn(n, 3, generator=rng), torch.randn(n, generator=rng), 0.01 / (i + 1))
        for i, n in enumerate(sizes)
    ]


def train(model: Model, call: Callable[..., Any], sizes: list[int]) -> list[Any]:
    return [call(*batch) for batch in batches(sizes)] + [x.clone() for x in model.state()]


def same(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(
        torch.equal(a, b) if isinstance(a, Tensor) else same(list(a), list(b)) for a, b in pairs
    )


def as_it_is(model: Model, sizes: list[int]) -> list[Any]:
    """The model trained by calls of its step alone, with numbers as tensors."""
    return train(model, lambda x, y, rate: model.step(x, y, torch.tensor(rate)), sizes)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    return graphs(monkeypatch)


def test_where_nothing_is_captured_the_step_is_called() -> None:
    seen: list[Any] = []

    def step(*inputs: Any) -> tuple[Tensor, ...]:
        seen.append(inputs)
        return outputs

    outputs = (torch.zeros(()),)
    assert not captures(CPU)
    assert CapturedStep(step, "cpu")(outputs[0], 0.1, None) is outputs
    assert seen == [(outputs[0], 0.1, None)]
    assert type(seen[0][1]) is float
    assert optimizer_options(CPU) == {"fused": True}


@pytest.mark.parametrize("sizes", [[8] * 7, [8, 8, 8, 5, 8, 8, 3, 8], [3, 8, 8, 8, 3, 8, 8]])
def test_it_ends_as_calls_of_the_step_would(card: Graphs, sizes: list[int]) -> None:
    """With other shapes before, between and behind too: they run as they are."""
    model = Model()
    captured = train(model, CapturedStep(model.step, CPU), sizes)
    assert same(captured, as_it_is(Model(), sizes))
    assert card.asked.count("capture") == 1
    assert card.asked.count("replay") == sizes.count(8) - 3


def test_outputs_are_the_callers_and_numbers_keep_their_place(card: Graphs) -> None:
    seen, kept = [], torch.zeros(2)

    def step(x: Tensor, number: Tensor, nothing: None) -> tuple[Tensor, ...]:
        seen.append((number, float(number)) if len(seen) > 2 else (number, 0.0))
        assert nothing is None
        return (kept.copy_(x + number),)

    call = CapturedStep(step, CPU)
    found = [call(torch.full((2,), float(i)), 0.5 * i, None)[0] for i in range(6)]
    assert [float(x[0]) for x in found[3:]] == [4.5, 6.0, 7.5]
    assert len({number.data_ptr() for number, _ in seen}) == 1
    assert [value for _, value in seen[3:]] == [1.5, 2.0, 2.5]


def test_generators_are_made_known_to_the_card(card: Graphs) -> None:
    rng = torch.Generator()
    CapturedStep(lambda: (), CPU, generators=[rng])
    assert card.generators == (rng,)


def test_a_capture_needs_calls_to_compare() -> None:
    with pytest.raises(ContractError, match="after 3 calls"):
        CapturedStep(lambda: (), CPU, warm_up=2)


def remembers(model: Model, loss: Tensor, x: Tensor) -> Tensor:
    model.memory = torch.cat([model.memory[1:], loss.detach().view(1)])
    return loss + model.memory.mean()


def grows(model: Model, loss: Tensor, x: Tensor) -> Tensor:
    model.memory = torch.cat([model.memory, loss.detach().view(1)])
    return loss + model.memory.sum()


def counts(model: Model, loss: Tensor, x: Tensor) -> Tensor:
    model.calls += 1
    return loss * (1 + 1 / model.calls)


def alternates(model: Model, loss: Tensor, x: Tensor) -> Tensor:
    model.calls += 1
    return loss.exp() if model.calls % 2 else loss


def branches(model: Model, loss: Tensor, x: Tensor) -> Tensor:
    return loss if loss > 0.5 else 2 * loss


HABITS: list[tuple[Spoil, str]] = [
    (lambda model, loss, x: loss + float(loss.detach()), "_local_scalar_dense hands a value"),
    (branches, "hands a value from the device to Python"),
    (lambda model, loss, x: loss + x[x > 0].sum(), "index hands a value"),
    (lambda model, loss, x: loss + x.to("meta").sum().isnan().numel(), "between cpu and meta"),
    (remembers, "reads what the step before it made"),
    (grows, "reads what the step before it made"),
    (counts, "gets a number or a shape that changes"),
    (alternates, "where the step before it ran"),
]


@pytest.mark.parametrize(("spoil", "reason"), HABITS)
def test_one_that_cannot_be_replayed_is_called_and_says_why(
    card: Graphs, capsys: pytest.CaptureFixture[str], spoil: Spoil, reason: str
) -> None:
    model = Model(spoil)
    found = train(model, CapturedStep(model.step, CPU), [8] * 7)
    assert same(found, as_it_is(Model(spoil), [8] * 7))
    assert "capture" not in card.asked
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("genbench: a training step runs slowly, uncaptured: aten::")
    assert reason in line


def test_a_capture_that_fails_harms_nothing(
    card: Graphs, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model()

    def half_way() -> None:  # gradients made while recording are memory that nothing has filled
        for p in model.net.parameters():
            p.grad = torch.full_like(p, float("nan"))

    card.error, card.half_way = RuntimeError("operation not permitted\nwhen capturing"), half_way
    spoilt = train(model, CapturedStep(model.step, CPU), [8] * 6)
    assert same(spoilt, as_it_is(Model(), [8] * 6))
    assert card.asked == ["eager"] * 3 + ["capture"]
    said = (
        "genbench: a training step runs slowly, uncaptured: RuntimeError: operation not permitted"
    )
    assert capsys.readouterr().err.splitlines() == [said]


def test_a_rate_that_is_no_tensor_may_not_change(
    card: Graphs, capsys: pytest.CaptureFixture[str]
) -> None:
    net = nn.Linear(1, 1, bias=False)
    adam = torch.optim.SGD(net.parameters(), 1.0)

    def step(x: Tensor) -> tuple[Tensor, ...]:
        adam.zero_grad()
        net(x).sum().backward()
        adam.step()
        return (net.weight.detach(),)

    call, x = CapturedStep(step, CPU), torch.ones(1, 1)
    for _ in range(5):
        (before,) = call(x)
    adam.param_groups[0]["lr"] = 0.5
    before = before.clone()
    assert float(call(x)[0] - before) == -0.5
    assert "a setting of its optimiser is a number that changed" in capsys.readouterr().err


def test_an_average_moves_by_a_share_that_is_a_tensor_too() -> None:
    kept, now = [torch.zeros(3), torch.ones(2)], [torch.ones(3), torch.zeros(2)]
    move_average(kept, now, torch.tensor(0.25))
    assert [x.tolist() for x in kept] == [[0.25] * 3, [0.75] * 2]


def test_the_example_of_the_page_is_captured(card: Graphs) -> None:
    page = (Path(__file__).parent.parent / "docs" / "gpu.md").read_text()
    names: dict[str, Any] = {}
    exec(page.split("```python")[1].split("```")[0], names)
    mine, budget = names["Mine"](), Budget(64 * 6)
    mine.space, mine.device = Space("points", (2,)), CPU
    data = MemoryTrainData(torch.randn(64, 2), None, mine.space, CPU, budget)
    run = HarnessRun(0, CPU, budget)
    mine.fit(data, run)
    assert card.asked == ["eager"] * 3 + ["capture"] + ["replay"] * 3
    assert len(card.generators) == len(run.curves) == 1


def test_sums_by_level_on_a_card_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    values, level = torch.randn(50, 3, generator=rng), torch.randint(0, 7, (50,), generator=rng)
    here = sum_by_level(values, level, 9)
    graphs(monkeypatch)
    torch.testing.assert_close(sum_by_level(values, level, 9), here)


def test_the_contract_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'CapturedSteps'"):
        _ = genbench.generator.CapturedSteps


class Generator:
    """A card's generator: its state, and whether a capture of it is open."""

    def __init__(self, state: str) -> None:
        self.state = state

    def clone_state(self) -> Generator:
        return Generator(self.state)

    def graphsafe_set_state(self, other: Generator) -> None:
        self.state = other.state


def test_what_a_failed_capture_leaves_in_torch_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written against torch's own behaviour: its ``graph`` leaves its stream set when it fails."""
    own, default, now, ended = Generator("own"), Generator("default"), ["main"], []

    class Graph:
        def register_generator_state(self, generator: Generator) -> None:
            generator.state += ", capturing"

        def pool(self) -> tuple[int, int]:
            return (0, 1)

    @contextmanager
    def stream(name: str) -> Any:
        before, now[0] = now[0], name
        try:
            yield
        finally:
            now[0] = before

    @contextmanager
    def capture(graph: Graph, stream: str) -> Any:
        now[0], default.state = stream, "default, capturing"
        yield

    cuda = torch.cuda
    monkeypatch.setattr(cuda, "Stream", lambda device: "side")
    monkeypatch.setattr(cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(cuda, "current_stream", lambda index: now[0])
    monkeypatch.setattr(cuda, "stream", stream)
    monkeypatch.setattr(cuda, "graph", capture)
    monkeypatch.setattr(cuda, "device", lambda index: nullcontext())
    monkeypatch.setattr(cuda, "default_generators", (None, default))
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *ids: ended.append(ids))

    def step() -> tuple[Tensor, ...]:
        assert now == ["side"]
        raise RuntimeError("operation not permitted")

    with pytest.raises(RuntimeError, match="not permitted"):
        CudaGraphs(torch.device("cuda", 1), [own]).capture(step)  # type: ignore[list-item]
    assert (own.state, default.state) == ("own", "default")
    assert now == ["main"]
    assert ended == [(1, (0, 1))]
