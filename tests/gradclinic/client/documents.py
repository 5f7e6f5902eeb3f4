"""Answers of a service, by hand: a job, its runs, a history and a diagnosis."""

from __future__ import annotations

from typing import Any

JOB_ID = "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b70"
RUN_ID = "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b71"

SPEC: dict[str, Any] = {
    "name": "deep",
    "model": {
        "layers": [
            {"type": "Linear", "out_features": 64},
            {"type": "Sigmoid"},
            {"type": "Repeat", "times": 18, "layers": [{"type": "Linear", "out_features": 64}, {"type": "Sigmoid"}]},
            {"type": "Linear", "out_features": 10},
        ]
    },
    "data": {"type": "digits"},
    "loss": {"type": "CrossEntropyLoss"},
    "optimizer": {"type": "SGD", "lr": 0.1},
}

LAYERS = ["layers.0", *(f"layers.2[{turn}].layers.0" for turn in range(18))]

FINDING: dict[str, Any] = {
    "rule": "vanishing_gradient",
    "severity": "critical",
    "caused_by": None,
    "first_step": 0,
    "layers": LAYERS,
    "summary": "The gradient shrinks by 17 orders of magnitude from layers.3 to layers.0.",
    "evidence": [
        {"signal": "activation_grad_norm", "value": 5.8e-17, "threshold": 1e-4, "step": 0, "layer": "layers.0"},
        {"signal": "loss", "value": None, "threshold": None, "step": None, "layer": None},
    ],
    "cause": {"what": "activation", "detail": "Sigmoid passes on 0.21 of the gradient, 19 times over.", "share": 0.86},
}

FIX: dict[str, Any] = {
    "id": "activation-relu",
    "kind": "activation",
    "title": "Replace Sigmoid by ReLU, with He initialization",
    "addresses": ["vanishing_gradient"],
    "patch": [
        {"op": "replace", "path": "/model/layers/1", "value": {"type": "ReLU"}},
        {"op": "replace", "path": "/model/layers/2/layers/1", "value": {"type": "ReLU"}},
        {"op": "add", "path": "/model/init", "value": {"weight": {"type": "kaiming_normal_", "nonlinearity": "relu"}}},
    ],
    "why": "ReLU passes the gradient of an active unit on unchanged.",
    "references": ["He et al. 2015"],
    "verdict": "untested",
    "effect": None,
}


def job(status: str = "succeeded", **changed: Any) -> dict[str, Any]:
    ended = status not in {"queued", "training", "verifying"}
    document = {
        "id": JOB_ID,
        "name": "deep",
        "labels": {},
        "status": status,
        "health": "critical" if status == "succeeded" else None,
        "progress": {"step": 400 if ended else 120, "steps": 400, "trials": 0, "trials_planned": 0},
        "created_at": "2026-11-21T10:00:00Z",
        "started_at": "2026-11-21T10:00:01Z",
        "finished_at": "2026-11-21T10:00:05.5Z" if ended else None,
        "error": None,
        "spec": SPEC,
        "links": {},
    }
    return {**document, **changed}


def run() -> dict[str, Any]:
    document = {key: job()[key] for key in ("health", "created_at", "started_at", "finished_at", "links")}
    return document | {
        "id": RUN_ID,
        "job_id": JOB_ID,
        "kind": "baseline",
        "status": "succeeded",
        "seed": 0,
        "steps_done": 400,
        "outcome": None,
    }


def diagnosis(*findings: dict[str, Any], health: str = "critical") -> dict[str, Any]:
    outcome = {"train_loss": 2.3, "val_loss": 2.31, "metric": {"name": "accuracy", "value": 0.1}, "steps": 400}
    return {
        "health": health,
        "outcome": outcome,
        "findings": list(findings),
        "fixes": [FIX] if findings else [],
        "notes": [],
    }


HISTORY: dict[str, Any] = {
    "run": RUN_ID,
    "start": 0,
    "stop": 400,
    "steps": [0, 200],
    "columns": {
        "loss": {"min": [2.3, 2.2], "max": [2.5, 2.4], "mean": [2.4, 2.3]},
        "grad_norm": {"min": [1.0, 1.0], "max": [1.0, 1.0], "mean": [1.0, 1.0]},
        "layers.0.weight/grad_norm": {"min": [3e-17, 3e-17], "max": [3e-17, 3e-17], "mean": [3e-17, 3e-17]},
        "layers.0.bias/grad_norm": {"min": [4e-17, 4e-17], "max": [4e-17, 4e-17], "mean": [4e-17, 4e-17]},
        "layers.3.weight/grad_norm": {"min": [0.5, "NaN"], "max": [0.5, "NaN"], "mean": [0.5, "NaN"]},
    },
}


SWEEP_ID = "0199b2f4-7c1e-7b3a-9d10-2f6a1c3e5b72"


def sweep(status: str = "ended", *, health: str = "healthy", **changed: Any) -> dict[str, Any]:
    """A sweep over two learning rates, the second one better."""
    rows = [row(0, 0.1, 0.5, status, health), row(1, 0.01, 0.9, status, "healthy")]
    document = {
        "id": SWEEP_ID,
        "name": "deep",
        "status": status,
        "jobs": {"succeeded" if status == "ended" else "queued": 2},
        "sweep": {"/optimizer/lr": [0.1, 0.01]},
        "created_at": "2026-11-21T10:00:00Z",
        "links": {},
        "spec": SPEC,
        "compared_by": "accuracy" if status == "ended" else None,
        "best": rows[1]["job"] if status == "ended" else None,
        "rows": rows,
    }
    return {**document, **changed}


def row(number: int, lr: float, accuracy: float, status: str, health: str) -> dict[str, Any]:
    outcome = {"train_loss": 0.5, "val_loss": None, "metric": {"name": "accuracy", "value": accuracy}, "steps": 400}
    document: dict[str, Any] = {
        "number": number,
        "values": {"/optimizer/lr": lr},
        "job": f"{JOB_ID[:-1]}{number}",
        "status": "succeeded" if status == "ended" else "queued",
        "health": health if status == "ended" else None,
        "outcome": outcome if status == "ended" else None,
        "findings": ["learning_rate_too_high"] if health != "healthy" and status == "ended" else [],
    }
    return document
