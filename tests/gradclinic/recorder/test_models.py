"""Every signal on the four models that the recorder is measured on, against a slow float64 reference."""

import numpy as np
import pytest
import torch
from torch import nn

from gradclinic.recorder import Recorder
from gradclinic.recorder.activations import flat_parts


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.relu, self.second = nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.second(self.relu(self.norm(self.first(x))))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


def sigmoids():
    hidden = [layer for _ in range(49) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
    return nn.Sequential(*hidden, nn.Linear(64, 10)), torch.randn(64, 64)


def convolutions():
    layers = nn.Conv2d(3, 16, 3), nn.ReLU(), Residual(16), Residual(16), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16, 10)), torch.randn(8, 3, 32, 32)


def transformer():
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    return nn.Sequential(encoder, Mean(), nn.Linear(128, 10)), torch.randn(4, 16, 128)


def wide():
    hidden = [layer for _ in range(3) for layer in (nn.Linear(2048, 2048), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(2048, 10)), torch.randn(8, 2048)


def norm64(x):
    return float(np.sqrt(np.sum(np.square(x))))


def reference(gradients, before, after):
    """All signals of each parameter in one step; `gradients` and weights are float64 arrays by name."""
    rows = {}
    for name, g in gradients.items():
        rows[name] = {
            "grad_norm": norm64(g),
            "grad_max": float(np.abs(g).max()),
            "grad_mean": float(g.mean()),
            "grad_std": float(g.std()),
            "grad_zero_fraction": float((g == 0).mean()),
            "grad_nonfinite": float((~np.isfinite(g)).sum()),
            "weight_norm": norm64(before[name]),
            "update_ratio": norm64(after[name] - before[name]) / norm64(before[name]) if norm64(before[name]) else None,
        }
    return rows


def arrays(tensors):
    return {name: tensor.detach().double().numpy().copy() for name, tensor in tensors}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["compiled", "torch"])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("make", [sigmoids, convolutions, transformer, wide])
def test_each_signal_agrees_with_a_float64_reference(make, scale, kernel):
    torch.manual_seed(0)
    model, x = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 / max(scale, 1.0))
    y = torch.randint(0, 10, (len(x),))
    with Recorder(model, optimizer, kernel=kernel, layers=[]) as recorder:
        expected = []
        for _ in range(2):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y) * scale
            loss.backward()
            gradients = arrays((name, p.grad) for name, p in model.named_parameters())
            before = arrays(model.named_parameters())
            optimizer.step()
            recorder.step(loss)
            expected.append(reference(gradients, before, arrays(model.named_parameters())))
    history = recorder.history
    for step, rows in enumerate(expected):
        for name, row in rows.items():
            for signal, value in row.items():
                recorded = history[signal].series(name)[step]
                # A mean of numbers that cancel is as exact as the largest of them.
                slack = (
                    1e-9 * row["grad_max"] if signal == "grad_mean" else 1e-9 * row["grad_max"] * (signal == "grad_std")
                )
                if value is None:
                    assert np.isinf(recorded) or recorded == 0
                else:
                    assert recorded == pytest.approx(value, rel=1e-6, abs=slack), (signal, name, step)
        whole = norm64(np.array([row["grad_norm"] / scale for row in rows.values()])) * scale
        assert history["grad_norm"].series()[step] == pytest.approx(whole, rel=1e-6, abs=0)


class Kept:
    """Copies of the outputs of layers and of their gradients, as float64 arrays by the layer's name."""

    def __init__(self, model, names):
        self.outputs, self.gradients = {}, {}
        modules = dict(model.named_modules())
        self.handles = [modules[name].register_forward_hook(self._keep(name)) for name in names]

    def _keep(self, name):
        def keep(_module, _inputs, output):
            tensor = output[0] if isinstance(output, tuple) else output
            self.outputs[name] = tensor.detach().double().numpy().copy()
            tensor.register_hook(lambda g: self.gradients.__setitem__(name, g.detach().double().numpy().copy()))

        return keep


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["compiled", "torch"])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("make", [sigmoids, convolutions, transformer, wide])
def test_each_signal_of_a_layer_agrees_with_a_float64_reference(make, scale, kernel):
    torch.manual_seed(0)
    model, x = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 / max(scale, 1.0))
    y = torch.randint(0, 10, (len(x),))
    steps = []
    with Recorder(model, optimizer, kernel=kernel) as recorder:
        for _ in range(2):
            kept = Kept(model, [layer.name for layer in recorder.facts.layers])
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y) * scale
            loss.backward()
            optimizer.step()
            recorder.step(loss)
            for handle in kept.handles:
                handle.remove()
            steps.append(kept)
    history = recorder.history
    for step, kept in enumerate(steps):
        assert set(kept.outputs) == set(history["activation_mean"].subjects)
        for name, output in kept.outputs.items():
            found = {signal: history[signal].series(name)[step] for signal in ("activation_mean", "activation_std")}
            near = 1e-9 * output.std()
            assert found["activation_mean"] == pytest.approx(output.mean(), rel=1e-6, abs=near), (name, step)
            assert found["activation_std"] == pytest.approx(output.std(), rel=1e-6, abs=near), (name, step)
            # The squares are of numbers that were brought near 1 first: the reference must not leave float64's range either.
            expected = norm64(kept.gradients[name] / scale) * scale
            assert history["activation_grad_norm"].series(name)[step] == pytest.approx(expected, rel=1e-6, abs=0), name
        for name in history["saturated_fraction"].subjects if "saturated_fraction" in history else ():
            low, high = (np.float32(bound) for bound in flat_parts(model.get_submodule(name)).bounds)
            flat = (kept.outputs[name] <= low) | (kept.outputs[name] >= high)
            assert history["saturated_fraction"].series(name)[step] == pytest.approx(flat.mean(), abs=1e-12), name
