"""What the hooks on outputs must not do: change a training, stay behind, count what is no training, keep things alive."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradclinic.contract.training import LAYER_SIGNALS
from gradclinic.history.facts import LayerFacts
from gradclinic.recorder.outputs import OutputWatch

EVERYTHING = frozenset(LAYER_SIGNALS)
GRADIENT = frozenset({"activation_grad_norm"})


def network(inplace=False, last=None):
    torch.manual_seed(0)
    middle = [nn.ReLU(inplace=inplace), nn.Linear(8, 8), nn.SiLU(inplace=inplace), nn.Dropout(0.2, inplace=inplace)]
    return nn.Sequential(nn.Linear(6, 8), *middle, last or nn.Linear(8, 3))


def watch_of(model, defer=False, kernel=None):
    names = [name for name, module in model.named_modules() if next(module.children(), None) is None]
    return OutputWatch(dict(model.named_modules()), [LayerFacts(name=n, type="") for n in names], defer, kernel=kernel)


def row(watch, signal):
    names, values = watch.collect()[signal]
    return dict(zip(names, torch.as_tensor(values).tolist(), strict=True))


def hooks_on(model):
    return [hook for module in model.modules() for hook in (*module._forward_hooks, *module._forward_pre_hooks)]


@pytest.mark.parametrize("way", ["compiled", "torch", "deferred"])
@pytest.mark.parametrize("inplace", [False, True])
def test_watching_does_not_change_a_training(way, inplace):
    def trained(watched):
        model = network(inplace)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        defer = way == "deferred"
        watch = watch_of(model, defer, None if defer else way)
        torch.manual_seed(1)
        for _ in range(20):
            if watched:
                watch.attach(EVERYTHING)
            optimizer.zero_grad()
            model(torch.randn(9, 6)).square().mean().backward()
            optimizer.step()
            if watched:
                watch.collect()
        watch.detach()
        return model.state_dict()

    bare = trained(watched=False)
    assert all(torch.equal(value, bare[name]) for name, value in trained(watched=True).items())


def test_no_hook_stays_behind_after_an_exception():
    class Broken(nn.Module):
        def forward(self, _):
            raise RuntimeError("in the middle")

    model = network(last=Broken())
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    with pytest.raises(RuntimeError, match="in the middle"):
        model(torch.randn(2, 6))
    watch.detach()
    watch.detach()
    assert not hooks_on(model)
    # What was begun is not a part of the next step.
    watch.attach(EVERYTHING)
    assert set(row(watch, "activation_grad_norm").values()) == {0.0}
    watch.detach()


def test_hooks_are_only_there_for_steps_in_which_something_is_due():
    model = network()
    watch = watch_of(model)
    for due in (EVERYTHING, frozenset(), GRADIENT, GRADIENT, frozenset()):
        watch.attach(due)
        assert bool(hooks_on(model)) == bool(due)
        assert len(set(hooks_on(model))) == len(hooks_on(model))
        model(torch.randn(2, 6)).sum().backward()
        assert set(watch.collect()) == set(due) - {"dead_fraction", "saturated_fraction"}


def test_hooks_of_others_stay_where_they_are():
    model, seen = network(), []
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    model[0].register_forward_hook(lambda *_: seen.append(1))
    watch.detach()
    watch.attach(EVERYTHING)
    watch.detach()
    model(torch.randn(2, 6))
    assert seen == [1]


def test_a_copy_of_the_model_is_not_watched(tmp_path):
    model = network()
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    torch.save(model, tmp_path / "model.pt")
    copies = [copy.deepcopy(model), torch.load(tmp_path / "model.pt", weights_only=False)]
    for other in copies:
        other(torch.randn(2, 6)).sum().backward()
    rows = watch.collect()
    watch.detach()
    assert np.isnan(rows["activation_mean"][1]).all()
    assert not rows["activation_grad_norm"][1].any()


def test_a_graph_that_lives_on_counts_nothing_and_keeps_no_watch_alive():
    model = network()
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    loss = model(torch.randn(2, 6)).sum()
    watch.detach()
    loss.backward(retain_graph=True)
    assert set(watch._norms.row()) == {0.0}
    alive = weakref.ref(watch)
    del watch
    gc.collect()
    assert alive() is None
    loss.backward()


@pytest.mark.parametrize("way", ["eval", "no_grad", "inference"])
def test_evaluation_between_steps_does_not_count(way):
    def measured(evaluates):
        model = network()
        watch = watch_of(model)
        watch.attach(EVERYTHING)
        torch.manual_seed(2)
        model(torch.randn(5, 6)).sum().backward()
        if evaluates:
            model.train(way != "eval")
            with {"eval": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[way]():
                model(torch.full((50, 6), 9.0))
        rows = watch.collect()
        watch.detach()
        return {signal: values.tolist() for signal, (_, values) in rows.items()}

    assert measured(evaluates=True) == measured(evaluates=False)


def test_a_frozen_normalisation_of_a_model_in_training_counts():
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 2))
    model[0].eval()
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    x = torch.randn(5, 6)
    model(x).sum().backward()
    assert row(watch, "activation_mean")["0"] == pytest.approx(x.mean().item(), rel=1e-4)
    watch.detach()


def test_a_layer_without_an_output_has_no_number_but_a_column():
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Embedding(3, 3))
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    model[0](torch.randn(2, 6)).sum().backward()
    rows = watch.collect()
    watch.detach()
    assert np.isnan(rows["activation_mean"][1]).tolist() == [False, True, True]
    assert np.isnan(rows["saturated_fraction"][1]).tolist() == [True]
    assert rows["activation_grad_norm"][1].tolist()[1:] == [0.0, 0.0]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_outputs_that_are_no_floating_point_tensors_are_left_alone():
    class Odd(nn.Module):
        def __init__(self, answer):
            super().__init__()
            self.answer = answer

        def forward(self, x):
            return self.answer(x)

    answers = [lambda x: {"x": x}, lambda _: torch.arange(3), lambda _: (), lambda _: None, lambda x: (None, x)]
    answers += [lambda x: torch.complex(x, x), lambda x: x.to_sparse(), lambda x: x > 0]
    answers.append(lambda x: torch.nested.nested_tensor([x[0], x[1, :2]]))
    model = nn.ModuleList([Odd(answer) for answer in answers])
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    x = torch.randn(3, 4, requires_grad=True)
    for module in model[:5]:
        module(x)
    model[5](x).abs().sum().backward()
    torch.sparse.sum(model[6](x)).backward()
    model[7](x)
    model[8](x.detach())
    norms = row(watch, "activation_grad_norm")
    assert norms["5"] == pytest.approx(12**0.5)
    assert norms["6"] == pytest.approx(12**0.5)
    watch.detach()


def test_a_parameter_that_is_an_output_keeps_no_hooks():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self):
            return self.weight

    model = Table()
    watch = watch_of(nn.Sequential(model))
    for _ in range(3):
        watch.attach(EVERYTHING)
        (model() * 3).sum().backward()
        assert row(watch, "activation_grad_norm")["0"] == pytest.approx(6.0)
    watch.detach()
    assert not model.weight._backward_hooks


def test_outputs_that_come_out_of_one_node_are_told_apart():
    class Half(nn.Module):
        def forward(self, pair):
            return pair[1]

    model = nn.Sequential(nn.Linear(4, 6), Half())
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    halves = model[0](torch.randn(2, 4)).chunk(2, dim=1)
    (halves[0].sum() * 10 + model[1](halves).sum()).backward()
    assert row(watch, "activation_grad_norm") == pytest.approx({"0": (600 + 6) ** 0.5, "1": 6**0.5})
    watch.detach()


def test_the_gradient_of_a_gradient_can_be_taken():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    watch = watch_of(model)
    watch.attach(EVERYTHING)
    x = torch.randn(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert all(value > 0 for value in row(watch, "activation_grad_norm").values())
    watch.detach()


def test_recomputed_outputs_are_the_same_outputs():
    model = network()
    model[4].p = 0.0
    watch = watch_of(model)
    x, rows = torch.randn(5, 6), []
    for again in (False, True):
        watch.attach(EVERYTHING)
        (checkpoint(model, x, use_reentrant=False) if again else model(x)).sum().backward()
        rows.append({signal: values for signal, (_, values) in watch.collect().items()})
    watch.detach()
    for signal, values in rows[0].items():
        assert rows[1][signal] == pytest.approx(values), signal


def test_autocast_is_measured_in_what_it_gives():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    watch, seen = watch_of(model), []
    model[1].register_forward_hook(lambda _m, _i, output: seen.append(output.detach()))
    watch.attach(EVERYTHING)
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(8, 4)).float().sum().backward()
    rows = watch.collect()
    watch.detach()
    assert seen[0].dtype == torch.bfloat16
    assert rows["activation_std"][1][1] == pytest.approx(seen[0].double().std(correction=0).item(), rel=1e-9)


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="stranger"):
        OutputWatch({}, [LayerFacts(name="stranger", type="ReLU")], False)


@pytest.mark.parametrize("value", [1e200, float("inf")])
def test_numbers_beyond_what_a_square_can_hold_end_no_training(value):
    """A double that is not contiguous goes the torch way; its square is infinite, which neither raises nor warns."""
    model = nn.Sequential(nn.Identity())
    watch = watch_of(model)
    watch.attach(frozenset({"activation_grad_norm", "activation_mean", "activation_std"}))
    x = torch.full((3, 4), value, dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        model(x.t() * 1.0).backward(torch.full((3, 4), value, dtype=torch.float64).t())
    assert watch.collect()["activation_grad_norm"][1] == [np.inf]
    watch.detach()
