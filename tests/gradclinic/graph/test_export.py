"""Exporting models: the artifact trains exactly as the model does, under the model's own names."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - what everybody calls it
from torch import nn

from gradclinic.errors import NotExportable
from gradclinic.export import export_artifact
from gradclinic.graph import read_graph
from gradclinic.model.graph import graph_facts
from gradclinic.model.graph.build import network_of

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(0, 12, (4, 6), generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(x))
        y += x
        y = F.max_pool2d(F.gelu(y), 2).view(x.size(0), 8, -1).mean(2)
        return self.fc(F.dropout(y, 0.2, self.training))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(8, 6, 2, batch_first=True, dropout=0.2, bidirectional=True)
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        return self.fc(self.rnn(x.squeeze(1))[0][:, -1])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(12, 8)
        self.place = nn.Embedding(6, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 12, bias=False)
        self.head.weight = self.token.weight

    def forward(self, x):
        y = self.token(x) + self.place(torch.arange(x.shape[1], device=x.device))
        y = self.layer(y)
        q = y.view(x.shape[0], x.shape[1], 2, 4).transpose(1, 2)
        y = y + F.scaled_dot_product_attention(q, q, q, is_causal=True).transpose(1, 2).flatten(2)
        return self.head(self.norm(y))


MODELS = {
    "residual": (Residual, IMAGES),
    "lstm": (lambda: Recurrent(nn.LSTM), IMAGES),
    "gru": (lambda: Recurrent(nn.GRU), IMAGES),
    "transformer": (Transformer, TOKENS),
}


def losses(network, x):
    """Four steps of training, the last on another size of batch; and what comes out in evaluation."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    found = []
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for step in range(4):
            loss = network(x[: 4 - step // 3].roll(step, 0)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    return found, network.eval()(x).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_an_artifact_trains_as_its_model_does_bit_for_bit(name, tmp_path):
    make, x = MODELS[name]
    torch.manual_seed(0)
    model = make()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    graph = export_artifact(model, x, tmp_path / "a")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    network = network_of(tmp_path / "a", read_graph(tmp_path / "a"))
    assert [key for key, _ in network.named_parameters()] == [key for key, _ in model.named_parameters()]
    assert graph.parameters == sum(p.numel() for p in model.parameters())
    assert losses(network, x) == losses(model, x)


def test_layers_have_the_names_and_types_of_the_model(tmp_path):
    facts = graph_facts(export_artifact(Residual(), IMAGES, tmp_path / "a"))
    told = {fact.name: (fact.type, fact.on_trunk, fact.parameters) for fact in facts}
    assert told["conv1"] == ("Conv2d", True, ["conv1.weight", "conv1.bias"])
    assert told["conv2"] == ("Conv2d", False, ["conv2.weight", "conv2.bias"])
    assert told["add"] == ("Add", True, [])
    assert told["gelu"] == ("GELU", True, [])
    assert told["fc"][:2] == ("Linear", True)


class Baked(nn.Module):
    def forward(self, x):
        return x.reshape(4, 64) * 2


class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        y = self.fc(x.flatten(1))
        return y if self.training else y.softmax(-1)


class Sorting(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        y = torch.special.i0(self.fc(x.flatten(1)))
        return torch.cumprod(y, 1)


class Branching(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Baked(), "made for batches of 4"),
        (Moody(), "something else in evaluation"),
        (Sorting(), r"aten\.special_i0\.default.*; aten\.cumprod\.default"),
        (Branching(), "from shapes, not from the numbers"),
        (nn.Linear(8, 8).double(), r"model\.float\(\)"),
    ],
)
def test_what_cannot_be_an_artifact_is_refused_in_words(model, words, tmp_path):
    with pytest.raises(NotExportable, match=words):
        export_artifact(model, IMAGES, tmp_path / "a")
    assert not (tmp_path / "a").exists()
