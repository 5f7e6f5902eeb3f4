"""The recorder in loops that people write: several optimizers, accumulation, mixed precision, closures, wrappers."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from gradclinic.diagnosis import diagnose
from gradclinic.recorder import Recorder


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 3))


def norm64(tensor):
    return float(np.sqrt(np.sum(tensor.detach().double().numpy() ** 2)))


def hooks(model, *optimizers):
    return [
        *(hook for module in model.modules() for hook in (module._forward_hooks, module._forward_pre_hooks) if hook),
        *(optimizer._optimizer_step_pre_hooks for optimizer in optimizers if optimizer._optimizer_step_pre_hooks),
    ]


def test_each_of_several_optimizers_measures_its_own_parameters():
    model = network()
    first = torch.optim.SGD(model[3].parameters(), lr=0.1)
    second = torch.optim.SGD(model[0].parameters(), lr=0.2)
    with Recorder(model, [first, second]) as recorder:
        (model(torch.ones(4, 6)).square().sum() * 5).backward()
        late = norm64(model[3].weight.grad)
        first.step()
        model.zero_grad()
        model(torch.ones(4, 6)).sum().backward()
        early = norm64(model[0].weight.grad)
        second.step()
        recorder.step(0.0)
    history = recorder.history
    assert history["grad_norm"].subjects == ("", *dict(model.named_parameters()))
    assert history["grad_norm"].series("3.weight")[0] == pytest.approx(late, rel=1e-6)
    assert history["grad_norm"].series("0.weight")[0] == pytest.approx(early, rel=1e-6)
    assert history["lr"].series()[0] == pytest.approx(0.1)
    assert history["update_ratio"].series("0.weight")[0] > 0
    assert recorder.facts.gradients_measured == "at_optimizer_step"


def test_an_optimizer_that_did_not_step_left_its_weights_alone():
    model = network()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.SGD(model[3].parameters(), lr=0.1)
    with Recorder(model, [first, second]) as recorder:
        model(torch.ones(4, 6)).sum().backward()
        first.step()
        recorder.step(0.0)
    history = recorder.history
    assert history["grad_norm"].series("3.weight")[0] == pytest.approx(norm64(model[3].weight.grad), rel=1e-6)
    assert history["update_ratio"].series("3.weight")[0] == 0.0
    assert history["weight_norm"].series("3.weight")[0] == pytest.approx(norm64(model[3].weight), rel=1e-6)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscales", [False, True])
def test_gradients_of_a_scaled_loss_are_unscaled(fused, unscales):
    def norms(scale):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale != 1.0)
        with Recorder(model, optimizer) as recorder:
            scaler.scale(model(torch.ones(4, 6)).square().sum()).backward()
            if unscales:
                scaler.unscale_(optimizer)
                recorder.measure()
            scaler.step(optimizer)
            scaler.update()
            recorder.step(0.0)
        assert recorder.facts.gradients_measured == ("before_clipping" if unscales else "at_optimizer_step")
        return recorder.history

    plain, scaled = norms(1.0), norms(1024.0)
    for signal in ("grad_norm", "grad_max", "grad_mean", "grad_std", "grad_zero_fraction", "update_ratio"):
        assert scaled[signal].values == pytest.approx(plain[signal].values, rel=1e-5), signal


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_skips_is_recorded_with_what_is_not_finite(fused):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with Recorder(model, optimizer) as recorder:
        scaler.scale(model(torch.ones(4, 6)).sum()).backward()
        model[0].weight.grad[0, :2] = float("inf")
        scaler.step(optimizer)
        scaler.update()
        recorder.step(0.0)
    history = recorder.history
    assert history["grad_nonfinite"].series("0.weight")[0] == 2
    assert history["grad_nonfinite"].series("3.weight")[0] == 0
    assert np.isinf(history["grad_norm"].series()[0])
    assert history["update_ratio"].values.tolist() == [[0.0] * 4]
    assert history["lr"].series()[0] == pytest.approx(0.1)


@pytest.mark.parametrize("by_keyword", [False, True])
@pytest.mark.parametrize("kind", [torch.optim.LBFGS, torch.optim.SGD])
def test_gradients_that_a_closure_computes_are_measured_at_its_first_call(kind, by_keyword):
    model = nn.Linear(4, 1)
    optimizer = kind(model.parameters(), lr=0.1)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(3, 4)).square().sum()
        loss.backward()
        seen.append(norm64(model.weight.grad))
        return loss

    with Recorder(model, optimizer) as recorder:
        loss = optimizer.step(closure=closure) if by_keyword else optimizer.step(closure)
        recorder.step(loss)
    assert recorder.history["grad_norm"].series("weight")[0] == pytest.approx(seen[0], rel=1e-6)
    assert recorder.history["update_ratio"].series("weight")[0] > 0


def test_shared_parameters_and_modules_called_twice_are_recorded_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(self.first(x)))

    model = Twice()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer) as recorder:
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        recorder.step(0.0)
    table = recorder.history["grad_norm"]
    assert table.subjects == ("", "first.weight", "first.bias", "second.bias")
    assert table.series("first.weight")[0] == pytest.approx(norm64(model.first.weight.grad), rel=1e-6)


def test_a_compiled_model_has_its_own_names_and_no_hooks_inside():
    model = torch.compile(network(), backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="The outputs of 0, 1, 2, 3 are not watched"):
        recorder = Recorder(model, optimizer)
    assert "compiled" in recorder.facts.notes[0]
    with recorder:
        assert not hooks(model)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        recorder.step(0.0)
    assert recorder.history["grad_norm"].subjects == ("", "0.weight", "0.bias", "3.weight", "3.bias")
    assert "activation_grad_norm" not in recorder.history


def test_only_the_compiled_part_of_a_model_is_not_watched():
    model = network()
    model.append(nn.Sequential(nn.Linear(3, 3)))
    model[4].compile(backend="eager")
    with pytest.warns(UserWarning, match="The outputs of 4.0 are not watched"):
        recorder = Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert [layer.name for layer in recorder.facts.layers] == ["0", "1", "2", "3"]


def test_a_wrapped_model_has_its_own_names(tmp_path):
    model = network()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own, of its own making
            wrapped = nn.parallel.DistributedDataParallel(model)
        recorder = Recorder(wrapped, torch.optim.SGD(wrapped.parameters(), lr=0.1))
    finally:
        torch.distributed.destroy_process_group()
    assert [layer.name for layer in recorder.facts.layers] == ["0", "1", "2", "3"]
    assert recorder._names == ("0.weight", "0.bias", "3.weight", "3.bias")


def test_parameters_that_cannot_be_read_are_refused_in_words():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(ValueError, match="meta device"):
        Recorder(nn.Linear(2, 2, device="meta"), optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules are said to be under development
        lazy = nn.LazyLinear(2)
    with pytest.raises(ValueError, match="Run the lazy module once"):
        Recorder(lazy, optimizer)
    sharded = nn.Linear(2, 2)
    sharded.weight.device_mesh = "as a DTensor has it"
    with pytest.raises(ValueError, match="sharded over several processes"):
        Recorder(sharded, optimizer)
    with pytest.raises(ValueError, match="No optimizer"):
        Recorder(nn.Linear(2, 2), [])


def test_no_hook_is_left_after_an_exception_anywhere_in_a_step():
    class Raises(nn.Module):
        where = None

        def forward(self, x):
            if self.where == "forward":
                raise RuntimeError("forward")
            if self.where == "backward":
                x.register_hook(lambda _: (_ for _ in ()).throw(RuntimeError("backward")))
            return x

    def loop(model, optimizer, breaking, where):
        with Recorder(model, optimizer) as recorder:
            for step in range(3):
                breaking.where = where if step == 1 else None
                optimizer.zero_grad()
                loss = model(torch.ones(2, 6)).sum()
                loss.backward()
                if breaking.where == "measure":
                    recorder.measure()
                    raise RuntimeError("measure")
                optimizer.step()
                recorder.step(loss)

    for where in ("forward", "backward", "measure"):
        breaking = Raises()
        model = nn.Sequential(nn.Linear(6, 6), breaking, nn.Linear(6, 2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(RuntimeError, match=where):
            loop(model, optimizer, breaking, where)
        assert not hooks(model, optimizer), where


def test_no_hook_is_on_a_layer_while_no_layer_is_due():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, layers=None, signals={"activation_mean": 4}) as recorder:
        attached = []
        for _ in range(30):
            attached.append(bool(hooks(model)))
            optimizer.zero_grad()
            model(torch.ones(2, 6)).sum().backward()
            optimizer.step()
            recorder.step(0.0)
    # Small tensors: what is recorded every 10 steps by default is recorded every 40.
    assert attached == [step < 10 or step % 4 == 0 or step % 40 == 0 for step in range(30)]


@pytest.mark.parametrize("kernel", ["compiled", "torch"])
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_recording_changes_no_bit_of_a_training_with_dropout_accumulation_and_autocast(kernel, precision):
    def train(records):
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        recorder = Recorder(model, optimizer, kernel=kernel, signals={"activation_std": 1, "update_ratio": 1})
        torch.manual_seed(1)
        if records:
            recorder.__enter__()
        for _ in range(25):
            optimizer.zero_grad()
            for _ in range(2):
                with torch.autocast("cpu", torch.bfloat16, enabled=precision is not None):
                    loss = nn.functional.cross_entropy(model(torch.randn(7, 6)), torch.randint(0, 3, (7,)))
                loss.backward()
            if records:
                recorder.measure()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            if records:
                recorder.step(loss)
        recorder.__exit__(None, None, None)
        return model.state_dict(), torch.get_rng_state()

    (recorded, one), (bare, other) = train(records=True), train(records=False)
    assert all(torch.equal(recorded[name], bare[name]) for name in bare)
    assert torch.equal(one, other)


def test_a_loop_whose_optimizer_never_steps_is_told_so():
    model = network()
    recorder = Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with recorder:
        model(torch.ones(2, 6)).sum().backward()
        recorder.step(1.0)
    assert any("No optimizer took a step" in note for note in diagnose(recorder.history).notes)


def test_what_is_in_the_wrong_place_is_told_by_its_type():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="SGD where a Module"):
        Recorder(optimizer, model)
    with pytest.raises(ValueError, match="expected the steps between"):
        Recorder(model, optimizer, signals=["activation_mean"])
    with Recorder(model, optimizer) as recorder:
        optimizer.step()
        with pytest.raises(ValueError, match=r"shape \(3,\)"):
            recorder.step(torch.ones(3))
