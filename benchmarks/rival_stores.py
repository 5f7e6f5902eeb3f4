"""What others offer for keeping numbers, each fed a prefix of the same numbers by the calls that its documentation shows.

They are imported only where they are used, from the benchmarks' own virtual environment.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path

from benchmarks.written import Written
from gradclinic.history import History, column_name

MLFLOW_BATCH = 1000
"""Metrics in one call of `log_batch`: as many as it takes."""


def write_mlflow(chunks: Iterable[History], steps: int, folder: Path) -> Written:
    """Write a prefix with MLflow's `log_batch` to SQLite."""
    mlflow = import_module("mlflow")
    metric = import_module("mlflow.entities").Metric
    path = folder / "mlflow.db"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}")
    run = client.create_run(client.create_experiment(secrets.token_hex(4), artifact_location=str(folder / "artifacts")))
    before = path.stat().st_size
    metrics = [metric(name, value, 0, step) for step, name, value in _numbers(chunks, steps)]
    began = time.perf_counter()
    for start in range(0, len(metrics), MLFLOW_BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + MLFLOW_BATCH])
    seconds = time.perf_counter() - began
    return Written(len(metrics), seconds, path.stat().st_size - before)


def write_tensorboard(chunks: Iterable[History], steps: int, folder: Path) -> Written:
    """Write a prefix with TensorBoard's `add_scalar`."""
    tensorboard = import_module("torch.utils.tensorboard")
    numbers = list(_numbers(chunks, steps))
    logs = folder / f"tensorboard-{secrets.token_hex(4)}"
    began = time.perf_counter()
    with tensorboard.SummaryWriter(str(logs)) as writer:
        for step, name, value in numbers:
            writer.add_scalar(name, value, step)
    seconds = time.perf_counter() - began
    return Written(len(numbers), seconds, sum(path.stat().st_size for path in logs.rglob("*") if path.is_file()))


def _numbers(chunks: Iterable[History], steps: int) -> Iterator[tuple[int, str, float]]:
    """Yield the numbers of the first steps one by one: step, name, value."""
    for chunk in chunks:
        for signal, table in chunk.tables.items():
            for step, row in zip(table.steps.tolist(), table.values.tolist(), strict=True):
                if step >= steps:
                    break
                for subject, value in zip(table.subjects, row, strict=True):
                    yield step, column_name(subject, signal), value
        if chunk.last_step is None or chunk.last_step + 1 >= steps:
            return


RIVAL_STORES: dict[str, tuple[Callable[[Iterable[History], int, Path], Written], int]] = {
    "MLflow on SQLite, log_batch of 1,000": (write_mlflow, 10),
    "TensorBoard, add_scalar": (write_tensorboard, 30),
}
"""Each with the steps of the prefix that it is given."""
