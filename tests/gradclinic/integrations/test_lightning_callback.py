"""The callback within Lightning's own Trainer: small modules, on the CPU, offline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from gradclinic.history import WHOLE_STEP, History
from gradclinic.integrations.lightning import RecorderCallback

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's: how many workers to use, what is deprecated

ROWS, BATCH = 48, 8


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost such small models more than they give."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Small(LightningModule):
    """Two linear layers with dropout between them: what a callback did to the random state would show."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.criterion = nn.CrossEntropyLoss()
        self.lr = lr
        self.seen: list[dict[str, Tensor]] = []

    def training_step(self, batch: Any, _index: int) -> Tensor:
        x, y = batch
        return self.criterion(self.body(x), y)

    def validation_step(self, batch: Any, _index: int) -> None:
        x, y = batch
        scores = self.body(x)
        self.log("val_loss", self.criterion(scores, y))
        self.log("val_acc", (scores.argmax(1) == y).float().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)

    def on_before_optimizer_step(self, _optimizer: torch.optim.Optimizer) -> None:
        self.seen.append({name: p.grad.clone() for name, p in self.named_parameters() if p.grad is not None})


def loader() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 4, generator=generator)
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long() + (x[:, 0] > 1).long()), batch_size=BATCH)


def trained(module: LightningModule, *callbacks: RecorderCallback, validate: bool = False, **options: Any) -> Trainer:
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    settings = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": list(callbacks),
    }
    trainer = Trainer(**settings | options)
    trainer.fit(module, loader(), loader() if validate else None)
    return trainer


def values(history: History, signal: str, subject: str = WHOLE_STEP) -> np.ndarray:
    table = history.tables[signal]
    return table.values[:, table.subjects.index(subject)]


def assert_norms(history: History, parameter: str, expected: Sequence[float]) -> None:
    """Compare the norms of a parameter's gradient with those of all steps, where they were recorded."""
    recorded = values(history, "grad_norm", parameter)
    assert len(recorded) >= len(expected) / 2
    np.testing.assert_allclose(recorded, np.array(expected)[history.tables["grad_norm"].steps], rtol=1e-6)


def hooks_of(module: nn.Module, trainer: Trainer) -> int:
    return sum(
        len(one._forward_hooks) + len(one._forward_pre_hooks) + len(one._backward_hooks) for one in module.modules()
    ) + sum(len(one._optimizer_step_pre_hooks) + len(one._optimizer_step_post_hooks) for one in trainer.optimizers)


def test_each_step_is_measured_before_it_is_clipped():
    module, callback = Small(), RecorderCallback(every=1)
    trained(module, callback, gradient_clip_val=1e-3)
    history = callback.history
    assert history.facts.gradients_measured == "before_clipping"
    expected = [float(seen["body.0.weight"].double().norm()) for seen in module.seen]
    assert len(expected) == 2 * ROWS // BATCH
    assert_norms(history, "body.0.weight", expected)
    assert max(expected) > 1e-2, "clipping would have left a thousandth"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate_grad_batches": 4},
        {"gradient_clip_val": 0.1},
        {"precision": "bf16-mixed"},
        {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value", "accumulate_grad_batches": 2},
    ],
    ids=str,
)
def test_the_weights_are_the_same_with_and_without_it(options: dict[str, Any]):
    bare, recorded = Small(), Small()
    trained(bare, **options)
    trained(recorded, RecorderCallback(), validate=False, **options)
    for name, parameter in bare.named_parameters():
        assert torch.equal(parameter, recorded.get_parameter(name)), name


def test_batches_that_are_accumulated_are_one_step():
    module, callback = Small(), RecorderCallback()
    trained(module, callback, accumulate_grad_batches=4)
    history = callback.history
    # Six batches an epoch: one step of four, one of the two that are left.
    assert len(values(history, "loss")) == len(module.seen) == 4
    assert (history.facts.steps_per_epoch, history.facts.steps_planned) == (2, 4)
    expected = [float(seen["body.3.bias"].double().norm()) for seen in module.seen]
    assert_norms(history, "body.3.bias", expected)


def test_the_loss_of_accumulated_batches_is_their_mean():
    module, whole = Small(lr=0.0), Small(lr=0.0)
    for one in (module, whole):
        one.body[2] = nn.Identity()
    callback = RecorderCallback()
    trained(module, callback, accumulate_grad_batches=3, max_epochs=1)
    x, y = loader().dataset.tensors
    for step in range(2):
        rows = slice(step * 3 * BATCH, (step + 1) * 3 * BATCH)
        expected = cross_entropy(module.body(x[rows]), y[rows])
        assert values(callback.history, "loss")[step] == pytest.approx(float(expected), rel=1e-5)


def test_what_lightning_knows_is_in_the_facts():
    callback = RecorderCallback()
    trained(Small(), callback)
    facts = callback.history.facts
    assert (facts.optimizer, facts.loss, facts.task) == ("SGD", "CrossEntropyLoss", "classification")
    assert (facts.steps_planned, facts.steps_per_epoch) == (12, 6)
    assert [layer.name for layer in facts.layers] == [f"body.{place}" for place in range(4)], "a loss is no layer"


def test_validations_are_recorded_at_the_step_before_them():
    callback = RecorderCallback()
    trained(Small(), callback, validate=True)
    table = callback.history.tables["val_loss"]
    assert list(table.steps) == [5, 11]
    assert list(callback.history.tables["accuracy"].steps) == [5, 11]
    named = RecorderCallback(metrics={"val_loss": "val_acc"})
    trained(Small(), named, validate=True)
    assert "accuracy" not in named.history.tables
    np.testing.assert_allclose(values(named.history, "val_loss"), values(callback.history, "accuracy"))


def test_it_is_diagnosed_and_saved(tmp_path: Path):
    callback = RecorderCallback(save_to=tmp_path / "history.arrow")
    trained(Small(), callback)
    assert callback.diagnosis.findings is not None
    saved = History.load(tmp_path / "history.arrow")
    assert saved.facts == callback.history.facts
    np.testing.assert_array_equal(values(saved, "loss"), values(callback.history, "loss"))


def test_a_signal_that_there_is_not_is_refused_before_any_training():
    with pytest.raises(ValueError, match="No such signal: typo"):
        RecorderCallback(signals={"typo": 1})  # type: ignore[dict-item]  # what is tested


def test_a_metric_may_be_called_like_a_signal():
    callback = RecorderCallback(metrics={"grad_norm": "val_loss", "1st/loss": "val_loss"})
    trained(Small(), callback, validate=True)
    assert {"_grad_norm", "_1st_loss"} <= callback.history.tables.keys()
    assert len(callback.history["grad_norm"].subjects) > 1


def test_a_sink_takes_it_in_parts():
    parts: list[History] = []
    callback = RecorderCallback(sink=parts.append)
    trained(Small(), callback, max_epochs=25)
    assert [len(values(part, "loss")) for part in parts] == [128, 22]
    with pytest.raises(RuntimeError, match="sink"):
        _ = callback.history
    with pytest.raises(ValueError, match="one of"):
        RecorderCallback(sink=parts.append, save_to="history.arrow")


def test_one_callback_records_one_training_after_the_other():
    callback = RecorderCallback()
    with pytest.raises(RuntimeError, match="no history"):
        _ = callback.history
    for epochs in (2, 1):
        trained(Small(), callback, max_epochs=epochs)
        assert len(values(callback.history, "loss")) == epochs * 6


class Raising(Small):
    def training_step(self, batch: Any, index: int) -> Tensor:
        if index == 4:
            raise RuntimeError("out of something")
        return super().training_step(batch, index)


def test_after_an_exception_no_hook_is_left_and_the_history_says_it(tmp_path: Path):
    module, callback = Raising(), RecorderCallback(save_to=tmp_path / "history.arrow")
    bare = hooks_of(Small(), trained(Small()))
    trainer: list[Trainer] = []
    module.on_train_start = lambda: trainer.append(module.trainer)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of something"):
        trained(module, callback)
    assert hooks_of(module, trainer[0]) == bare
    for history in (callback.history, History.load(tmp_path / "history.arrow")):
        assert len(values(history, "loss")) == 4
        assert history.facts.error is not None
        assert (history.facts.error.step, history.facts.error.type) == (4, "RuntimeError")


def test_after_a_training_no_hook_is_left():
    module = Small()
    assert hooks_of(module, trained(module, RecorderCallback())) == hooks_of(Small(), trained(Small()))


class Adversaries(LightningModule):
    """Two optimizers by hand: the critic steps `critic_steps` times a batch, the maker once."""

    def __init__(self, critic_steps: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.maker, self.critic = nn.Linear(4, 4), nn.Linear(4, 1)
        self.critic_steps = critic_steps
        self.gradients: list[tuple[str, float]] = []
        self.losses: list[tuple[str, float]] = []

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(one.parameters(), lr=0.05) for one in (self.critic, self.maker)]

    def training_step(self, batch: Any, _index: int) -> None:
        x, _ = batch
        critic, maker = self.optimizers()
        for _ in range(self.critic_steps):
            self._step("critic", critic, self.critic(self.maker(x).detach()).square().mean())
        self._step("maker", maker, (self.critic(self.maker(x)) - 1).square().mean())

    def _step(self, name: str, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.gradients.append((name, float(getattr(self, name).weight.grad.double().norm())))
        self.losses.append((name, float(loss)))
        optimizer.step()


def test_two_optimizers_by_hand_are_one_step_a_batch():
    module, callback = Adversaries(critic_steps=1), RecorderCallback()
    trained(module, callback)
    history = callback.history
    assert len(values(history, "loss")) == 12
    for name in ("critic", "maker"):
        expected = [norm for one, norm in module.gradients if one == name]
        assert_norms(history, f"{name}.weight", expected)
    sums = [a + b for (_, a), (_, b) in zip(module.losses[::2], module.losses[1::2], strict=True)]
    np.testing.assert_allclose(values(history, "loss"), sums, rtol=1e-6)


def test_an_optimizer_that_steps_again_begins_a_new_step():
    module, callback = Adversaries(critic_steps=3), RecorderCallback()
    trained(module, callback, max_epochs=1)
    critics = [norm for name, norm in module.gradients if name == "critic"]
    assert_norms(callback.history, "critic.weight", critics)
    losses = np.array([loss for _, loss in module.losses]).reshape(6, 4)
    expected = np.stack([losses[:, 0], losses[:, 1], losses[:, 2] + losses[:, 3]], axis=1).ravel()
    np.testing.assert_allclose(values(callback.history, "loss"), expected, rtol=1e-6)


class ByHand(Small):
    """One optimizer by hand, two steps a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.losses: list[float] = []

    def training_step(self, batch: Any, index: int) -> None:
        optimizer = self.optimizers()
        for _ in range(2):
            loss = Small.training_step(self, batch, index)
            optimizer.zero_grad()
            self.manual_backward(loss)
            self.losses.append(float(loss))
            optimizer.step()


def test_one_optimizer_by_hand_may_step_twice_a_batch():
    module, callback = ByHand(), RecorderCallback()
    trained(module, callback)
    np.testing.assert_allclose(values(callback.history, "loss"), module.losses, rtol=1e-6)
    expected = [float(seen["body.0.weight"].double().norm()) for seen in module.seen]
    assert_norms(callback.history, "body.0.weight", expected)


class Lbfgs(Small):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.5, max_iter=3)


def test_an_optimizer_that_calls_its_closure_often_makes_one_step():
    callback = RecorderCallback()
    trained(Lbfgs(), callback)
    assert len(values(callback.history, "loss")) == 12
    assert np.isfinite(values(callback.history, "loss")).all()


def test_bf16_is_recorded():
    module, callback = Small(), RecorderCallback()
    trained(module, callback, precision="bf16-mixed", gradient_clip_val=1e-3)
    expected = [float(seen["body.0.weight"].double().norm()) for seen in module.seen]
    assert_norms(callback.history, "body.0.weight", expected)
    assert all(math.isfinite(loss) for loss in values(callback.history, "loss"))


def test_a_process_that_is_not_the_first_records_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    module, callback = Small(), RecorderCallback()
    trained(module, callback, validate=True)
    with pytest.raises(RuntimeError, match="no history"):
        _ = callback.history


def test_sharded_training_is_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gradclinic.integrations.lightning.SHARDED", (object,))
    with pytest.raises(ValueError, match="whole gradients"):
        trained(Small(), RecorderCallback())


def test_what_cannot_be_recorded_leaves_no_stream_open():
    class Streams:
        """As much of a client as it takes to see how a stream ends."""

        ended: str | None = None

        def stream(self, **_: Any) -> Streams:
            return self

        def finish(self, status: str, *, error: BaseException | None) -> None:
            assert error is not None
            self.ended = status

    class Lazy(Small):
        def configure_optimizers(self) -> Any:
            stepped = super().configure_optimizers()
            self.late = nn.LazyLinear(3)  # there when the training begins, but without numbers
            return stepped

    streams = Streams()
    with pytest.raises(ValueError, match="not there yet"):
        trained(Lazy(), RecorderCallback(client=streams))  # type: ignore[arg-type]
    assert streams.ended == "failed"
