"""The callback within Hugging Face's own Trainer: tiny random models, on the CPU, offline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
)

from gradclinic.history import WHOLE_STEP, History
from gradclinic.integrations.huggingface import RecorderCallback

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' and accelerate's: pinned memory, what is deprecated

ROWS, BATCH = 48, 8
WEIGHT = "bert.encoder.layer.0.attention.self.query.weight"


def rows(seed: int = 0) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 30, (ROWS, 6), generator=generator)
    return [{"input_ids": one, "labels": (one.sum() > 90).long()} for one in tokens]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost such small models more than they give."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model(dropout: float = 0.1) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=8,
            num_labels=2,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """Make a Trainer over a new model."""

    def make(
        *callbacks: RecorderCallback, kind: type[Trainer] = Trainer, dropout: float = 0.1, **options: Any
    ) -> Trainer:
        settings = {
            "output_dir": str(tmp_path / "out"),
            "use_cpu": True,
            "num_train_epochs": 2,
            "per_device_train_batch_size": BATCH,
            "learning_rate": 0.01,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_strategy": "no",
            "seed": 3,
        }
        arguments = TrainingArguments(**settings | options)
        return kind(model(dropout), arguments, train_dataset=rows(), eval_dataset=rows(1), callbacks=list(callbacks))

    return make


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The norm of one weight's gradient whenever the Trainer is about to clip it."""
    norms: list[float] = []
    clip = Accelerator.clip_grad_norm_

    def watch(self: Accelerator, parameters: Any, max_norm: float, **more: Any) -> Any:
        parameters = list(parameters)
        norms.append(float(dict(watched[0].named_parameters())[WEIGHT].grad.double().norm()))
        return clip(self, parameters, max_norm, **more)

    watched: list[nn.Module] = []
    begin = RecorderCallback.on_train_begin

    def begin_watched(self: RecorderCallback, *arguments: Any, **more: Any) -> None:
        watched[:] = [more["model"]]
        begin(self, *arguments, **more)

    monkeypatch.setattr(RecorderCallback, "on_train_begin", begin_watched)
    monkeypatch.setattr(Accelerator, "clip_grad_norm_", watch)
    return norms


def values(history: History, signal: str, subject: str = WHOLE_STEP) -> np.ndarray:
    table = history.tables[signal]
    return table.values[:, table.subjects.index(subject)]


def assert_norms(history: History, parameter: str, expected: Sequence[float]) -> None:
    """Compare the norms of a parameter's gradient with those of all steps, where they were recorded."""
    recorded = values(history, "grad_norm", parameter)
    assert len(recorded) >= len(expected) / 2
    np.testing.assert_allclose(recorded, np.array(expected)[history.tables["grad_norm"].steps], rtol=1e-6)


def hooks_of(module: nn.Module) -> int:
    return sum(
        len(one._forward_hooks) + len(one._forward_pre_hooks) + len(one._backward_hooks) for one in module.modules()
    )


@pytest.mark.parametrize("accumulated", [1, 2, 4])
def test_each_step_is_measured_before_it_is_clipped(trainer, seen, accumulated: int):
    callback = RecorderCallback()
    trainer(callback, max_grad_norm=1e-3, gradient_accumulation_steps=accumulated).train()
    history = callback.history
    assert history.facts.gradients_measured == "before_clipping"
    # Six batches an epoch; the last step of one takes what is left.
    assert len(seen) == 2 * math.ceil(6 / accumulated) == len(values(history, "loss"))
    assert_norms(history, WEIGHT, seen)
    assert values(history, "grad_norm").max() > 1e-2, "clipping would have left a thousandth"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_accumulation_steps": 4},
        {"max_grad_norm": 0.1},
        {"bf16": True},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
    ],
    ids=str,
)
def test_the_weights_are_the_same_with_and_without_it(trainer, options: dict[str, Any]):
    bare = trainer(**options)
    bare.train()
    recorded = trainer(RecorderCallback(), **options)  # a Trainer that is made begins with its seed
    recorded.train()
    for name, parameter in bare.model.named_parameters():
        assert torch.equal(parameter, recorded.model.get_parameter(name)), name


@pytest.mark.parametrize("accumulated", [1, 3])
def test_the_loss_is_what_was_propagated_back(trainer, accumulated: int):
    callback = RecorderCallback()
    made = trainer(callback, gradient_accumulation_steps=accumulated, logging_strategy="steps", logging_steps=1)
    made.train()
    logged = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    np.testing.assert_allclose(values(callback.history, "loss"), logged, atol=1e-4)  # the Trainer rounds what it logs


def test_what_the_trainer_knows_is_in_the_facts(trainer):
    callback = RecorderCallback()
    trainer(callback, gradient_accumulation_steps=2).train()
    facts = callback.history.facts
    assert (facts.optimizer, facts.loss, facts.task) == ("AdamW", "CrossEntropyLoss", "classification")
    assert (facts.steps_planned, facts.steps_per_epoch) == (6, 3)


def test_learning_rates_are_those_that_were_used(trainer):
    callback = RecorderCallback()
    trainer(callback, lr_scheduler_type="linear").train()
    np.testing.assert_allclose(values(callback.history, "lr"), 0.01 * (1 - np.arange(12) / 12), rtol=1e-6)


def test_evaluations_are_recorded_at_the_step_before_them(trainer):
    callback = RecorderCallback()
    made = trainer(callback, eval_strategy="epoch", eval_on_start=True)
    made.compute_metrics = lambda found: {
        "accuracy": float((found.predictions.argmax(1) == found.label_ids).mean()),
        "f1/macro": 0.5,
    }
    made.train()
    history = callback.history
    for signal in ("val_loss", "accuracy", "f1_macro"):
        assert list(history.tables[signal].steps) == [5, 11]
    assert not {name for name in history.tables if "runtime" in name or "second" in name or name == "epoch"}
    logged = [entry["eval_loss"] for entry in made.state.log_history if "eval_loss" in entry]
    np.testing.assert_allclose(values(history, "val_loss"), logged[1:], rtol=1e-6)


def test_an_evaluation_is_no_part_of_what_layers_give(trainer):
    """The same training with evaluations in its midst has the same history."""
    quiet, evaluated = RecorderCallback(), RecorderCallback()
    # Without dropout: an evaluation draws from the same random numbers, whoever watches.
    trainer(quiet, dropout=0.0, num_train_epochs=1).train()
    trainer(evaluated, dropout=0.0, num_train_epochs=1, eval_strategy="steps", eval_steps=1).train()
    assert quiet.history.tables.keys() < evaluated.history.tables.keys()
    for signal, table in quiet.history.tables.items():
        np.testing.assert_array_equal(table.values, evaluated.history.tables[signal].values, signal)


def test_it_is_diagnosed_and_saved(trainer, tmp_path: Path):
    callback = RecorderCallback(save_to=tmp_path / "history.arrow")
    trainer(callback).train()
    assert callback.diagnosis.findings is not None
    saved = History.load(tmp_path / "history.arrow")
    assert saved.facts == callback.history.facts
    np.testing.assert_array_equal(values(saved, "loss"), values(callback.history, "loss"))


def test_a_sink_takes_it_in_parts(trainer):
    parts: list[History] = []
    callback = RecorderCallback(sink=parts.append)
    trainer(callback, num_train_epochs=25).train()
    assert [len(values(part, "loss")) for part in parts] == [128, 22]
    assert parts[0].facts.loss == "CrossEntropyLoss"
    with pytest.raises(RuntimeError, match="sink"):
        _ = callback.history


def test_one_callback_records_one_training_after_the_other(trainer):
    callback = RecorderCallback()
    for epochs in (2, 1):
        trainer(callback, num_train_epochs=epochs).train()
        assert len(values(callback.history, "loss")) == epochs * 6


def test_a_training_that_goes_on_from_a_checkpoint_records_its_own_steps(trainer, tmp_path: Path):
    whole, rest = RecorderCallback(), RecorderCallback()
    trainer(whole, save_strategy="steps", save_steps=5).train()
    trainer(rest).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-5"))
    assert rest.history.facts.steps_planned == 7
    np.testing.assert_array_equal(values(rest.history, "loss"), values(whole.history, "loss")[5:])


class Raising(Trainer):
    def training_step(self, *arguments: Any, **more: Any) -> Tensor:
        if self.state.global_step == 4:
            raise RuntimeError("out of something")
        return super().training_step(*arguments, **more)


def test_after_an_exception_in_its_block_no_hook_is_left_and_the_history_says_it(trainer, tmp_path: Path):
    callback = RecorderCallback(save_to=tmp_path / "history.arrow")
    made = trainer(callback, kind=Raising)
    with pytest.raises(RuntimeError, match="out of something"), callback:
        made.train()
    assert hooks_of(made.model) == hooks_of(model())
    assert not made.optimizer.optimizer._optimizer_step_pre_hooks
    for history in (callback.history, History.load(tmp_path / "history.arrow")):
        assert len(values(history, "loss")) == 4
        assert history.facts.error is not None
        assert (history.facts.error.step, history.facts.error.type) == (4, "RuntimeError")


def test_what_an_exception_left_goes_when_the_next_training_begins(trainer):
    callback = RecorderCallback()
    broken = trainer(callback, kind=Raising)
    with pytest.raises(RuntimeError, match="out of something"):
        broken.train()
    made = trainer(callback)
    made.train()
    for one in (broken, made):
        assert hooks_of(one.model) == hooks_of(model())
    assert len(values(callback.history, "loss")) == 12


class OwnLoss(Trainer):
    """Takes the loss of the scores alone, and of the whole batch."""

    def compute_loss(self, model: nn.Module, inputs: Any, **_: Any) -> Tensor:  # type: ignore[override]
        labels = inputs.pop("labels")
        return nn.functional.multi_margin_loss(model(**inputs).logits, labels)


def test_a_loss_of_the_trainer_s_own_is_recorded_as_it_is_logged(trainer, seen):
    callback = RecorderCallback()
    made = trainer(callback, kind=OwnLoss, logging_strategy="steps", logging_steps=2, max_grad_norm=1e-3)
    made.train()
    history = callback.history
    logged = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    assert list(history.tables["loss"].steps) == [1, 3, 5, 7, 9, 11]
    np.testing.assert_allclose(values(history, "loss"), logged, rtol=1e-6)
    assert history.facts.gradients_measured == "before_clipping"
    assert_norms(history, WEIGHT, seen)


def test_a_language_model_is_recorded(tmp_path: Path):
    torch.manual_seed(0)
    tiny = GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=8, n_embd=16, n_layer=1, n_head=2))
    tokens = torch.randint(0, 30, (ROWS, 6))
    callback = RecorderCallback()
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        use_cpu=True,
        max_steps=6,
        gradient_accumulation_steps=2,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="steps",
        logging_steps=1,
    )
    data = [{"input_ids": one, "labels": one} for one in tokens]
    made = Trainer(tiny, arguments, train_dataset=data, callbacks=[callback])
    made.train()
    history = callback.history
    assert (history.facts.loss, history.facts.steps_planned) == ("CrossEntropyLoss", 6)
    logged = [entry["loss"] for entry in made.state.log_history if "loss" in entry]
    np.testing.assert_allclose(values(history, "loss"), logged, atol=1e-4)
    assert "transformer.wte.weight" in history.tables["grad_norm"].subjects


def test_reentrant_checkpointing_is_measured_whole(trainer, seen):
    """Backward passes within the backward pass end before it does."""
    callback = RecorderCallback()
    options = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}}
    trainer(callback, max_grad_norm=1e-3, **options).train()
    assert_norms(callback.history, WEIGHT, seen)


def test_a_process_that_is_not_the_first_records_nothing(trainer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Trainer, "is_world_process_zero", lambda _self: False)
    callback = RecorderCallback()
    trainer(callback).train()
    with pytest.raises(RuntimeError, match="no history"):
        _ = callback.history


def test_replicas_in_one_process_are_refused_in_words(trainer):
    made = trainer(RecorderCallback())
    made.args._n_gpu = 2
    with pytest.raises(ValueError, match="whole gradients"):
        made.callback_handler.on_train_begin(made.args, made.state, made.control)
