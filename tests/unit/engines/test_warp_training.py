"""Training of the warp network on a card: batches by form, what a CUDA graph can capture, and how pans are scored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from flowgimbal.client.steadiness.pan import pan  # noqa: E402
from flowgimbal.engines.networks.policies import LanePolicy  # noqa: E402
from flowgimbal.engines.training import captured, paths, settings, validation, warp  # noqa: E402
from flowgimbal.engines.training.batches import Supply, draw_batch  # noqa: E402
from flowgimbal.engines.training.forecasts import eliminate  # noqa: E402
from flowgimbal.engines.training.run import Run  # noqa: E402
from flowgimbal.engines.training.unroll import losses  # noqa: E402

FORM = settings.Form(10.0, 2, 20, 1.0, 0.5)


def recordings(count: int = 3, frames: int = 250, rate: float = 30.0) -> list[paths.Recording]:
    rng = np.random.default_rng(5)
    names = ["shaky/nus_regular_tower", "shaky/city_run", *(f"shaky/{i}" for i in range(count))]
    return [paths.Recording(name, paths.generate(rng, frames, rate) * np.float32(0.3), rate) for name in names]


def inputs(form: settings.Form, size: int) -> tuple[torch.Tensor, ...]:
    batch = draw_batch(paths.PathMaker(recordings()), form, size, (1, 2))
    return tuple(torch.from_numpy(part) for part in batch)


def small_policy() -> LanePolicy:
    torch.manual_seed(1)
    policy = LanePolicy(width=16, blocks=1)
    with torch.no_grad():
        policy.head.weight.normal_(0, 0.01)
    return policy


class OffTheCard(TorchDispatchMode):
    """Notes what makes tensors that are not where the data are."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else [result]
        if any(isinstance(part, torch.Tensor) and part.device.type != "meta" for part in parts):
            self.seen.add(str(func))
        return result


class ListsAsIndices(TorchFunctionMode):
    """Notes lists of numbers among indices: each becomes a tensor of the host first, which is then copied."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            self.seen += [index for index in indices if isinstance(index, list)]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("form", [FORM, settings.Form(30.0, 0, 24, 1.0, 0.0)])
def test_a_step_neither_asks_the_host_nor_copies_from_it(form: settings.Form) -> None:
    # A CUDA graph captures neither. Tensors without numbers stand for those on a card: what looks at a number fails.
    policy = small_policy().to("meta")
    parts = tuple(part.to("meta") for part in inputs(form, 3))
    captured.differentiate(policy, form, parts)  # constants are made
    with OffTheCard() as made, ListsAsIndices() as lists:
        captured.differentiate(policy, form, parts)
    assert made.seen == set()
    assert lists.seen == []


def test_settings_of_each_path_are_as_those_of_all() -> None:
    path, measured, _, _, strength, _ = inputs(FORM, 4)
    policy = small_policy()
    every = settings.Setting(10.0, 2, torch.full((4,), 0.2), torch.full((4,), 0.75), strength)
    one = settings.Setting(10.0, 2, 0.2, 0.75, strength)
    for pans, flags in ((True, torch.ones(4)), (False, torch.zeros(4))):
        expected = losses(policy, path, measured, one, pans)
        assert torch.allclose(losses(policy, path, measured, every, flags), expected, atol=1e-4)


def test_elimination_solves() -> None:
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(5, 3, 16, 20, generator=generator)
    matrices, values = root @ root.mT + 0.1 * torch.eye(16), torch.randn(5, 3, 16, 9, generator=generator)
    assert torch.allclose(eliminate(matrices, values), torch.linalg.solve(matrices, values), atol=1e-3)


def test_forms_weigh_as_settings_are_drawn() -> None:
    rng = np.random.default_rng(3)
    drawn = [settings.draw_setting(rng, 1) for _ in range(4000)]
    chosen = settings.forms(16)
    assert math.isclose(sum(form.weight for form in chosen), 1.0)
    assert len({(form.rate, form.look_ahead) for form in chosen}) == 16
    for form in chosen[:9]:
        mine = [s for s in drawn if (s.rate, s.look_ahead) == (form.rate, form.look_ahead)]
        assert abs(len(mine) / len(drawn) - form.weight) < 0.025
    assert len(settings.forms(3)) == 3


def test_groups_weigh_alike() -> None:
    groups = captured.grouped(settings.forms(16), 4)
    weights = [sum(form.weight for form in group) for group in groups]
    assert sum(map(len, groups)) == 16
    assert max(weights) < 1.3 * min(weights)


def test_a_batch_is_of_its_key() -> None:
    maker = paths.PathMaker(recordings())
    one, same, other = (draw_batch(maker, FORM, 10, key) for key in ((1, 2), (1, 2), (1, 3)))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.path, other.path)
    assert one.path.shape == one.measured.shape == (10, FORM.frames, 8)
    assert (np.abs(np.diff(one.measured - one.path, axis=1)).max((1, 2)) < 6e-3).all()


@pytest.mark.parametrize(("look_ahead", "part"), [(0, 0.5), (2, 0.3)])
def test_a_batch_is_of_pans_or_has_none(look_ahead: int, part: float) -> None:
    maker, form = paths.PathMaker(recordings()), replace(FORM, look_ahead=look_ahead)
    panned = np.array([draw_batch(maker, form, 2, (1, step)).pans for step in range(300)])
    assert (panned[:, 0] == panned[:, 1]).all()
    assert abs(panned[:, 0].mean() - part) < 0.08


def test_other_processes_draw_the_same() -> None:
    supplies = [Supply(recordings(), 4, processes, ahead=2) for processes in (0, 1)]
    for supply in supplies:
        while supply.wants_more:
            supply.order(FORM, (1, 2))
    here, there = (supply.take() for supply in supplies)
    for supply in supplies:
        supply.close()
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))


def test_a_step_is_the_weighted_mean_of_its_groups() -> None:
    forms = [settings.Form(10.0, k, 12, weight, 1.0) for k, weight in ((0, 0.5), (1, 0.3), (2, 0.2))]
    maker, policy = paths.PathMaker(recordings()), small_policy()
    device = torch.device("cpu")
    ensemble = captured.Ensemble(
        policy, forms, lambda form: draw_batch(maker, form, 3, (0,)), device, groups=2, largest=1e9
    )
    picked = ensemble.pick(np.random.default_rng(1))
    batches = [draw_batch(maker, form, 3, (7, place)) for place, form in enumerate(picked)]
    got = ensemble.step(picked, batches)
    parts = [
        captured.differentiate(policy, form, tuple(map(torch.from_numpy, batch)))
        for form, batch in zip(picked, batches, strict=True)
    ]
    mean = tuple((a + b) / 2 for a, b in zip(parts[0][1], parts[1][1], strict=True))
    assert max(captured.differences(got, ((parts[0][0] + parts[1][0]) / 2, mean))) < 1e-5


def test_no_group_outweighs_the_others_by_a_long_gradient() -> None:
    forms = [settings.Form(10.0, k, 12, 0.5, 1.0) for k in (0, 1)]
    policy, largest = small_policy(), 0.5
    ensemble = captured.Ensemble(
        policy,
        forms,
        lambda form: draw_batch(paths.PathMaker(recordings()), form, 2, (0,)),
        torch.device("cpu"),
        groups=2,
        largest=largest,
    )
    for group, length in zip(ensemble._groups, (100.0, 0.1), strict=True):
        gradient = tuple(torch.zeros_like(part) for part in policy.parameters())
        gradient[0].view(-1)[0 if length > 1 else 1] = length
        group.captured[0].inputs = ()
        group.captured[0].run = lambda gradient=gradient: (torch.tensor(0.0), gradient)
    step = ensemble.step([group.forms[0] for group in ensemble._groups], [(), ()])[1][0].view(-1)
    assert step[:2].tolist() == pytest.approx([largest / 2, 0.1 / 2])


class Card:
    """Stands for ``torch.cuda`` where there is none: a graph gives again what its capture gave."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.replays, self.fails, self.factor = 0, False, 1.0
        for name in ("synchronize", "empty_cache", "graph_pool_handle", "Stream", "current_stream", "CUDAGraph"):
            monkeypatch.setattr(torch.cuda, name, lambda: self)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 0)
        monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        monkeypatch.setattr(torch.cuda, "graph", self._graph)
        monkeypatch.setattr(captured.Ensemble, "_plain", self._plain)

    def wait_stream(self, _: object) -> None:
        pass

    def replay(self) -> None:
        self.replays += 1

    @contextmanager
    def _graph(self, graph: object, pool: object, stream: object) -> Iterator[None]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.capturing = True
        yield
        self.capturing = False

    capturing = False

    def _plain(self, form: settings.Form, batch: object) -> captured.Captured:
        def run() -> captured.Result:
            value = torch.tensor(self.factor if self.capturing else 1.0)
            return value, (value[None],)

        return captured.Captured(form, (), run)


@pytest.mark.parametrize(("fails", "factor", "replays"), [(False, 1.0, 4), (True, 1.0, 0), (False, 1.01, 2)])
def test_a_graph_that_fails_or_is_wrong_is_not_used(
    monkeypatch: pytest.MonkeyPatch, fails: bool, factor: float, replays: int
) -> None:
    card = Card(monkeypatch)
    card.fails, card.factor = fails, factor
    forms = [settings.Form(10.0, k, 12, 0.5, 1.0) for k in range(2)]
    ensemble = captured.Ensemble(small_policy(), forms, lambda form: (), torch.device("cuda"), groups=2, largest=1.0)
    picked = ensemble.pick(np.random.default_rng(1))
    loss, gradients = ensemble.step(picked, [(), ()])
    assert card.replays == replays  # one of each form to try it
    assert float(loss) == float(gradients[0]) == 1.0


def test_pans_are_scored_as_the_bench_scores_them() -> None:
    raw = validation.pans(recordings())
    assert raw.shape == (10, 243, 8)
    shown = raw.clone()
    shown[:, 5:] = raw[:, :-5]  # late
    shown[..., 0] *= 1.05  # and too far
    kept, overshoot, correlation = validation.followed(raw, shown)
    for i in range(len(raw)):
        expected = pan(*(path[i, :, :2].double().numpy() * 320 for path in (raw, shown)), validation.RATE)
        assert expected is not None
        assert kept[i] == pytest.approx(expected.kept, abs=2e-3)
        assert overshoot[i] == pytest.approx(expected.overshoot, abs=0.3)
        assert correlation[i] == pytest.approx(expected.correlation, abs=1e-3)


def test_overrunning_pans_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "gains", lambda *_: [10.0])
    monkeypatch.setattr(validation, "pans", lambda _: torch.zeros(1, 2, 8))
    monkeypatch.setattr(validation, "follow", lambda *_: np.array([[1.0], [3.0], [1.0]]))
    score, figures = validation.examine(small_policy(), [])
    assert score == pytest.approx(10.0 - 2 * validation.DEARNESS)
    assert figures["overshoot"] == {0: 3.0, 5: 3.0, 15: 3.0}


def test_a_run_by_the_clock_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("flowgimbal.engines.training.run.time.monotonic", lambda: now)

    def begin() -> Run[torch.nn.Linear]:
        network = torch.nn.Linear(3, 1)
        return Run(network, tmp_path, steps=1, rate=0.1, warm_up=2, memory=0.9, seconds=10.0, kept=2)

    run = begin()
    now += 50.0  # captures do not count
    for score in (1.0, 3.0, 2.0):
        loss = run.network(torch.ones(4, 3)).square().mean()
        run.follow(loss, torch.autograd.grad(loss, list(run.network.parameters())), largest=1.0)
        run.save(score, {})
        now += 2.0
    assert run.spent == pytest.approx(6.0)
    assert not run.done
    assert sorted(file.name for file in tmp_path.glob("step-*.pt")) == ["step-2.pt", "step-3.pt"]
    again = begin()
    assert again.spent == pytest.approx(4.0)  # as it was when it was saved
    loss = again.network(torch.ones(4, 3)).square().mean()
    again.learn(loss, largest=1.0)
    now += 6.0
    assert again.done


@pytest.fixture
def paths_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recorded paths, whose validation is over at once."""
    monkeypatch.setattr(validation, "gains", lambda *_: [10.0])
    monkeypatch.setattr(validation, "pans", lambda _: torch.zeros(0, 2, 8))
    arrays = {r.name: r.steps for r in recordings()} | {f"rate/{r.name}": np.array(r.rate) for r in recordings()}
    np.savez(tmp_path / "paths.npz", **arrays)
    return tmp_path / "paths.npz"


def test_one_layer_learns_alone(paths_file: Path, tmp_path: Path) -> None:
    options = f"--paths {paths_file} --out {tmp_path}/out --steps 2 --every 1 --batch 2 --seconds 1 --warm-up 1"
    assert warp.main([*options.split(), "--only", "trust", "--look-ahead", "0"]) == 0
    torch.manual_seed(1)
    before = validation.POLICIES["lanes"]().state_dict()
    after = torch.load(tmp_path / "out" / "last.pt")["network"]
    assert {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"trust"}


def test_one_layer_does_not_learn_by_forms(paths_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        warp.main(["--paths", str(paths_file), "--forms", "2", "--only", "trust"])
    assert "--forms 0" in capsys.readouterr().err


def test_training_by_forms_leaves_what_it_promises(paths_file: Path, tmp_path: Path) -> None:
    options = f"--paths {paths_file} --out {tmp_path}/out --steps 2 --every 1 --batch 2 --seconds 1 --forms 2"
    assert warp.main([*options.split(), "--groups", "1", "--workers", "0"]) == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "best.pt", "curve.jsonl", "last.pt", "step-1.pt", "step-2.pt",
    }  # fmt: skip
