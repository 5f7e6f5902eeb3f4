"""Signals of layer outputs against slow float64 references, by both kernels and deferred."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradclinic.contract.training import LAYER_SIGNALS
from gradclinic.history.facts import LayerFacts
from gradclinic.recorder.activations import flat_parts
from gradclinic.recorder.outputs import OutputWatch
from gradclinic.recorder.units import DEAD_SAMPLES

EVERYTHING = frozenset(LAYER_SIGNALS)
WAYS = ["compiled", "torch", "deferred"]


@pytest.fixture(params=WAYS)
def watch_of(request):
    """Make a watch of a model, that reads in one of three ways."""

    def make(model):
        layers = [LayerFacts(name=name, type=type(module).__name__) for name, module in leaves(model)]
        deferred = request.param == "deferred"
        return OutputWatch(dict(model.named_modules()), layers, deferred, kernel=None if deferred else request.param)

    return make


def leaves(model):
    return [(name, module) for name, module in model.named_modules() if next(module.children(), None) is None]


def rows_of(watch):
    """Collect, as a dictionary of dictionaries of floats."""
    return {
        signal: dict(zip(names, np.asarray(row, np.float64).tolist(), strict=True))
        for signal, (names, row) in watch.collect().items()
    }


class Keeper:
    """Keeps copies of all outputs and of their gradients."""

    def __init__(self, model):
        self.outputs, self.gradients = {}, {}
        self.handles = []
        for name, module in leaves(model):
            self.handles.append(module.register_forward_hook(self._take(name)))

    def _take(self, name):
        def keep(_module, _inputs, output):
            tensor = output[0] if isinstance(output, tuple) else output
            self.outputs.setdefault(name, []).append(tensor.detach().clone())
            if tensor.requires_grad:
                tensor.register_hook(lambda g: self.gradients.setdefault(name, []).append(g.detach().clone()))

        return keep

    def expected(self, model):
        rows = {signal: {} for signal in LAYER_SIGNALS if signal != "dead_fraction"}
        for name, module in leaves(model):
            joined = np.concatenate([o.double().numpy().ravel() for o in self.outputs[name]])
            gradients = [g.double().numpy().ravel() for g in self.gradients.get(name, [])]
            rows["activation_mean"][name] = joined.mean()
            rows["activation_std"][name] = joined.std()
            rows["activation_grad_norm"][name] = np.linalg.norm(np.concatenate([*gradients, np.zeros(0)]))
            if (bounds := flat_parts(module).bounds) is not None:
                # The limits are rounded to the outputs' type, as in any comparison with a number.
                low, high = (np.array(bound, self.outputs[name][0].numpy().dtype) for bound in bounds)
                rows["saturated_fraction"][name] = np.mean((joined <= low) | (joined >= high))
        return {signal: row for signal, row in rows.items() if row}


def assert_agree(rows, expected, rel=1e-6):
    for signal, row in expected.items():
        assert list(rows[signal]) == list(row), signal
        for name, value in row.items():
            # A mean may be a small difference of large numbers.
            near = 1e-9 * expected["activation_std"][name] if signal == "activation_mean" else 0
            assert rows[signal][name] == pytest.approx(value, rel=rel, abs=near, nan_ok=True), (signal, name)


class Block(nn.Module):
    def __init__(self, channels, inplace=False):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=inplace)

    def forward(self, x):
        return self.act(x + self.norm(self.conv(x)))


def sigmoid_mlp():
    return nn.Sequential(*[part for _ in range(10) for part in (nn.Linear(16, 16), nn.Sigmoid())]), (8, 16)


def residual_cnn(inplace=False):
    blocks = [Block(6, inplace), Block(6, inplace)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=inplace), *blocks, *head), (4, 3, 9, 9)


def transformer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, activation=nn.GELU())
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    for each in encoder.layers:
        # PyTorch's own never calls its projection, which is a module; this one calls all of its own.
        each.self_attn = Attention(8)
    return encoder, (3, 5, 8)


class Attention(nn.Module):
    batch_first = True

    def __init__(self, features):
        super().__init__()
        self.project = nn.Linear(features, 3 * features)

    def forward(self, x, *_, **__):
        q, k, v = self.project(x).chunk(3, dim=-1)
        return (nn.functional.scaled_dot_product_attention(q, k, v), None)


def wide_mlp():
    return nn.Sequential(nn.Linear(40, 300), nn.Tanh(), nn.Linear(300, 300), nn.Hardtanh(), nn.Linear(300, 3)), (20, 40)


def recurrent():
    return nn.Sequential(nn.LSTM(4, 6, batch_first=True), First(), nn.RNN(6, 5, batch_first=True), First()), (3, 7, 4)


class First(nn.Module):
    def forward(self, pair):
        return pair[0] * 1.0


MODELS = [sigmoid_mlp, residual_cnn, lambda: residual_cnn(inplace=True), transformer, wide_mlp, recurrent]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_signals_agree_with_a_float64_reference(watch_of, make, dtype):
    torch.manual_seed(0)
    model, shape = make()
    model = model.to(dtype)
    watch = watch_of(model)
    for _ in range(3):
        keeper = Keeper(model)
        watch.attach(EVERYTHING)
        x = torch.randn(shape, dtype=dtype) * 3
        for part in x.split(2):  # gradients of several passes add up
            model(part).square().mean().backward()
        for handle in keeper.handles:
            handle.remove()
        assert_agree(rows_of(watch), keeper.expected(model))
    watch.detach()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_signals_are_right_at_every_scale(watch_of, scale):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(9, 30, bias=False), nn.ReLU(), nn.Linear(30, 7, bias=False), nn.Tanh())
    watch, keeper = watch_of(model), Keeper(model)
    watch.attach(EVERYTHING)
    (model(torch.randn(50, 9) * scale) * torch.randn(50, 7)).sum().mul(scale).backward()
    rows, expected = rows_of(watch), keeper.expected(model)
    assert_agree(rows, expected)
    assert 0 < rows["activation_std"]["0"] < math.inf
    assert rows["activation_grad_norm"]["3"] > 0
    watch.detach()


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    kernel=st.sampled_from(["compiled", "torch"]),
    transposed=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
def test_any_shape_and_layout(shape, seed, kernel, transposed, dtype):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Hardtanh(-0.5, 0.5))
    layers = [LayerFacts(name=str(place), type="") for place in range(3)]
    watch, keeper = OutputWatch(dict(model.named_modules()), layers, False, kernel=kernel), Keeper(model)
    x = torch.randn(shape).to(dtype)
    x = (x.transpose(0, -1) if transposed else x).requires_grad_()
    watch.attach(EVERYTHING)
    model(x).sum().backward()
    rows = rows_of(watch)
    watch.detach()
    if x.numel():
        assert_agree(rows, _in_float32(keeper).expected(model))
    else:
        assert all(math.isnan(value) for value in rows["activation_mean"].values())
        assert set(rows["activation_grad_norm"].values()) == {0.0}


def _in_float32(keeper):
    """numpy has no bfloat16."""
    for kept in (keeper.outputs, keeper.gradients):
        for name, tensors in kept.items():
            kept[name] = [t.float() if t.dtype == torch.bfloat16 else t for t in tensors]
    return keeper


def test_the_deviation_of_equal_numbers_is_zero_and_of_close_ones_is_right(watch_of):
    model = nn.Sequential(nn.Identity(), nn.Identity())
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    far = torch.full((1000,), 1e6, dtype=torch.float64)
    far[::2] += 1e-3
    model[0](torch.full((17, 3), 0.1))
    model[1](far)
    model[1](far + 1e-3)
    rows = rows_of(watch)
    assert rows["activation_std"]["0"] == 0.0
    both = torch.cat([far, far + 1e-3]).numpy()
    assert rows["activation_std"]["1"] == pytest.approx(both.std(), rel=1e-6)
    assert rows["activation_mean"]["1"] == pytest.approx(both.mean(), rel=1e-15)
    watch.detach()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 5])
def test_what_is_not_finite_shows(watch_of, bad, place):
    model = nn.Sequential(nn.Identity(), nn.Tanh())
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    x = torch.ones(4, 4)
    x.view(-1)[place] = bad
    model(x)
    rows = rows_of(watch)
    assert not math.isfinite(rows["activation_mean"]["0"])
    assert math.isnan(rows["activation_std"]["0"])
    # NaN is at no bound; infinity is.
    assert rows["saturated_fraction"]["1"] == (0.0 if math.isnan(bad) else 1 / 16)
    watch.detach()


def test_a_healthy_relu_layer_is_alive_and_dead_units_are_dead(watch_of):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 2))
    with torch.no_grad():
        model[2].bias[:10] = -1e3
    watch, shares, steps = watch_of(model), [], 20
    for _ in range(steps):
        watch.attach(EVERYTHING)
        half = model[:2](torch.randn(64, 12))
        assert 0.3 < (half == 0).float().mean() < 0.7
        model[2:](half).sum().backward()
        shares.append(rows_of(watch).get("dead_fraction"))
    assert shares[: DEAD_SAMPLES // 64 - 1] == [None] * (DEAD_SAMPLES // 64 - 1)
    assert shares[DEAD_SAMPLES // 64 - 1 :] == [{"1": 0.0, "3": 0.25}] * (steps - DEAD_SAMPLES // 64 + 1)
    with torch.no_grad():
        model[2].bias[:5] = 0.0
    watch.attach(EVERYTHING)
    model(torch.randn(64, 12)).sum().backward()
    assert rows_of(watch)["dead_fraction"] == {"1": 0.0, "3": 0.125}
    watch.detach()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    "kind", [nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.Mish]
)
def test_pushed_far_negative_units_of_any_such_activation_are_dead(watch_of, kind, inplace):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 1), kind(inplace=inplace))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias[:] = torch.tensor([-100.0] * 3 + [0.0] * 5)
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    model(torch.randn(DEAD_SAMPLES, 1, 3, 3)).sum().backward()
    rows = rows_of(watch)
    assert rows["dead_fraction"] == {"1": 3 / 8}
    watch.detach()


@pytest.mark.parametrize(
    "module", [nn.GELU(), nn.Softplus(), nn.Threshold(0.1, 0.3), nn.LeakyReLU(0.0), nn.Hardshrink()]
)
def test_dead_units_of_activations_that_never_work_in_place(watch_of, module):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Identity(), module)
    x = torch.randn(DEAD_SAMPLES, 6, requires_grad=True) + torch.tensor([-90.0, -90.0, 0.0, 0.0, 0.0, 0.0])
    x = torch.where(x < -50, torch.zeros(()), x) if isinstance(module, nn.Hardshrink) else x
    watch = watch_of(model)
    watch.attach(frozenset({"dead_fraction"}))
    model(x).sum().backward()
    assert rows_of(watch) == {"dead_fraction": {"1": pytest.approx(2 / 6)}}
    watch.detach()


def test_one_relu_used_at_several_widths_is_judged_over_all(watch_of):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            a = self.act(x + torch.tensor([-99.0, 0.0]))
            return self.act(torch.cat([a, a, a], dim=1) + torch.tensor([0.0, 0.0, 0.0, -99.0, 0.0, 0.0]))

    model = Shared()
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    model(torch.randn(DEAD_SAMPLES, 2, requires_grad=True)).sum().backward()
    # Of the two one; of the six the three that repeat it, and one more.
    assert rows_of(watch)["dead_fraction"]["act"] == (1 + 3 + 1) / 8
    watch.detach()


def test_nothing_waits_for_the_device_between_collects():
    class NoReading(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert function is not torch.ops.aten._local_scalar_dense.default, "a number was read"
            return function(*args, **(kwargs or {}))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6), nn.Tanh())
    layers = [LayerFacts(name=name, type="") for name, _ in leaves(model)]
    watch = OutputWatch(dict(model.named_modules()), layers, True)
    with NoReading():
        for _ in range(3):
            watch.attach(EVERYTHING)
            for _ in range(2):
                model(torch.randn(DEAD_SAMPLES, 4)).sum().backward()
            rows = watch.collect()
    watch.detach()
    assert set(rows) == EVERYTHING
    assert all(isinstance(row, torch.Tensor) and row.dtype == torch.float64 for _, row in rows.values())
    assert all(row.shape == (len(names),) for names, row in rows.values())
