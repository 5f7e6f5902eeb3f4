"""What a recorder finds out by itself of a model that it has never seen: its layers, their order, and the trunk."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradclinic.diagnosis.gains import backward_gains
from gradclinic.recorder import Recorder


def recorded(model, x, *, steps=1, batches=1, loss=None, **options):
    torch.manual_seed(0)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    with Recorder(model, optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            for _ in range(batches):
                given = model(x).square().mean() if loss is None else loss(model, x)
                given.backward()
            optimizer.step()
            recorder.step(given)
    return recorder


def names(recorder):
    return [layer.name for layer in recorder.facts.layers]


def trunk(recorder):
    return [layer.name for layer in recorder.facts.layers if layer.on_trunk]


class HeadFirst(nn.Module):
    """Registers its layers in another order than it calls them in, and one that it never calls."""

    def __init__(self):
        super().__init__()
        self.head, self.spare, self.body = nn.Linear(8, 2), nn.Linear(8, 8), nn.Linear(4, 8)

    def forward(self, x):
        return self.head(self.body(x).tanh())


class Block(nn.Module):
    def __init__(self, width, checkpointed=False):
        super().__init__()
        self.first, self.act, self.second = nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, width)
        self.checkpointed = checkpointed

    def inside(self, x):
        return self.second(self.act(self.first(x)))

    def forward(self, x):
        return x + (checkpoint(self.inside, x, use_reentrant=False) if self.checkpointed else self.inside(x))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attention, self.head = nn.Linear(4, 8), nn.MultiheadAttention(8, 2), nn.Linear(8, 2)

    def forward(self, x):
        x = self.embed(x)
        return self.head(self.attention(x, x, x)[0])


def test_layers_stand_in_the_order_of_their_calls_and_what_is_not_called_behind():
    recorder = recorded(HeadFirst(), torch.randn(6, 4))
    assert names(recorder) == ["body", "head", "spare"]
    assert trunk(recorder) == ["body", "head"]


def test_before_the_first_step_the_order_is_that_of_registration():
    model = HeadFirst()
    assert names(Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1))) == ["head", "spare", "body"]


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("batches", [1, 3])
def test_what_a_shortcut_leads_around_is_not_on_the_trunk(checkpointed, batches):
    model = nn.Sequential(nn.Linear(4, 8), Block(8, checkpointed), Block(8, checkpointed), nn.Linear(8, 2))
    recorder = recorded(model, torch.randn(6, 4), batches=batches)
    assert names(recorder) == ["0", "1.first", "1.act", "1.second", "2.first", "2.act", "2.second", "3"]
    assert trunk(recorder) == ["0", "3"]


def test_a_branch_that_begins_at_zero_loses_no_gradient():
    """Its inner layers get none at first, as in every net whose residual branches begin as nothing."""
    model = nn.Sequential(nn.Linear(4, 8), *[Block(8) for _ in range(6)], nn.Linear(8, 2))
    for block in list(model)[1:-1]:
        nn.init.zeros_(block.second.weight)
    recorder = recorded(model, torch.randn(64, 4))
    assert recorder.history["activation_grad_norm"].series("1.first")[0] == 0
    gains = backward_gains(recorder.history)
    assert (np.abs(gains.of_layers) < 2).all()


def test_a_layer_that_is_called_several_times_is_not_on_the_trunk():
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 2))
    recorder = recorded(model, torch.randn(6, 4))
    assert names(recorder) == ["0", "1", "2", "4"]
    assert trunk(recorder) == ["0", "2", "4"]
    assert {layer.name: layer.calls for layer in recorder.history.facts.layers} == {"0": 1, "1": 2, "2": 1, "4": 1}


def test_what_is_frozen_stands_in_its_place():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    model[0].requires_grad_(False)
    recorder = recorded(model, torch.randn(6, 4))
    assert names(recorder) == ["0", "1", "2", "3", "4"]
    assert trunk(recorder) == ["2", "3", "4"]


def test_forward_passes_without_a_graph_show_nothing():
    model = HeadFirst()

    def loss(model, x):
        given = model(x).square().mean()
        with torch.no_grad():
            model.body(x)
        return given

    assert names(recorded(model, torch.randn(6, 4), loss=loss)) == ["body", "head", "spare"]


def test_layers_that_were_asked_for_stay_as_they_were_told():
    model = HeadFirst()
    asked = Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1)).facts.layers
    assert recorded(model, torch.randn(6, 4), layers=asked).facts.layers == asked


def test_an_attention_is_one_layer():
    recorder = recorded(Attending(), torch.randn(5, 6, 4))
    assert names(recorder) == trunk(recorder) == ["embed", "attention", "head"]
    own = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    assert recorder.facts.layers[1].parameters == [f"attention.{name}" for name in own]
    assert (recorder.history["activation_grad_norm"].values > 0).all()


def test_a_parametrized_layer_is_one_layer_and_is_not_asked_for_its_weight():
    model = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 8)), nn.utils.parametrizations.spectral_norm(nn.Linear(8, 2))
    )
    before = model.state_dict()["1.parametrizations.weight.0._u"].clone()
    recorder = Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert torch.equal(model.state_dict()["1.parametrizations.weight.0._u"], before)
    assert [(layer.name, layer.type, layer.weight_shape) for layer in recorder.facts.layers] == [
        ("0", "Linear", [8, 4]),
        ("1", "Linear", [2, 8]),
    ]
    assert "1.parametrizations.weight.original" in recorder.facts.layers[1].parameters
    assert trunk(recorded(model, torch.randn(6, 4))) == ["0", "1"]


def test_a_loss_inside_of_the_model_is_no_layer():
    model = nn.ModuleDict({"body": nn.Linear(4, 2), "loss": nn.MSELoss()})
    recorder = recorded(model, torch.randn(6, 4), loss=lambda m, x: m["loss"](m["body"](x), torch.zeros(6, 2)))
    assert names(recorder) == ["body"]


def test_nothing_of_the_graph_is_kept_and_training_is_the_same():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), Block(8), nn.Linear(8, 2))
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = torch.randn(6, 4)
    recorder = recorded(model, x, steps=3)
    assert not recorder._path._calls
    assert not recorder._path.is_open
    after = [p.detach().numpy().copy() for p in model.parameters()]
    model.load_state_dict(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    for one, other in zip(after, model.parameters(), strict=True):
        np.testing.assert_array_equal(one, other.detach().numpy())


def test_a_step_that_raises_keeps_no_graph():
    model = HeadFirst()
    recorder = Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1))

    def raise_in_the_middle():
        with recorder:
            model(torch.randn(6, 4))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        raise_in_the_middle()
    assert not recorder._path._calls
