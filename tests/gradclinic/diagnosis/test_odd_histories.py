"""No history, however odd, ends a diagnosis in an error: what cannot be told is not told."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gradclinic.contract.diagnosis import Outcome
from gradclinic.contract.training import LAYER_SIGNALS, PARAMETER_SIGNALS
from gradclinic.diagnosis import diagnose
from gradclinic.history import History, InputFacts, LayerFacts, Restraint, RunFacts, SignalTable, TargetFacts, Trivial

NUMBERS = st.sampled_from([0.0, -1.0, 1.0, 2.3, 1e-45, 1e-300, 1e308, -1e308, np.nan, np.inf, -np.inf])
KNOWN = st.sampled_from([None, 0.0, -1.0, 1.0, 2.3, 1e-300, 1e308])
SCALES = st.sampled_from([1e-300, 1.0, 1e308])
LOSSES = st.sampled_from([None, "CrossEntropyLoss", "NLLLoss", "BCELoss", "MSELoss", "Own"])
TYPES = st.sampled_from(["Linear", "ReLU", "Softmax", "Sigmoid", "LSTM", "Own"])


@st.composite
def tables(draw, subjects):
    length = draw(st.sampled_from([0, 1, 2, 20, 70]))
    few = draw(st.lists(NUMBERS, min_size=1, max_size=3))
    values = np.resize(np.array(few), (length, len(subjects)))
    start = draw(st.integers(0, 5))
    return SignalTable(np.arange(start, start + length), tuple(subjects), values)


@st.composite
def histories(draw):
    layers = [
        LayerFacts(
            name=f"l{place}",
            type=draw(TYPES),
            parameters=[f"l{place}.weight"] if draw(st.booleans()) else [],
            on_trunk=draw(st.booleans()),
            alike_units=draw(st.sampled_from([None, 0.0, 1.0])),
            time_gain=draw(KNOWN),
        )
        for place in range(draw(st.integers(0, 3)))
    ]
    parameters = [name for layer in layers for name in layer.parameters] or ["own.weight"]
    whole = [""] if draw(st.booleans()) else []
    found = {}
    for signal in ("loss", "lr", "clipped", "val_loss"):
        if draw(st.booleans()):
            found[signal] = draw(tables([""]))
    for signal in PARAMETER_SIGNALS:
        if draw(st.booleans()):
            found[signal] = draw(tables([*(whole if signal == "grad_norm" else []), *parameters]))
    for signal in LAYER_SIGNALS:
        if layers and draw(st.booleans()):
            found[signal] = draw(tables([layer.name for layer in layers]))
    facts = RunFacts(
        layers=layers,
        loss=draw(LOSSES),
        task=draw(st.sampled_from([None, "classification", "regression"])),
        steps_planned=draw(st.sampled_from([None, 70])),
        batch_size=draw(st.sampled_from([None, 1])),
        noise_scale=draw(st.sampled_from([None, 1e9, np.inf])),
        inputs=draw(st.none() | st.builds(InputFacts, largest_scale=SCALES, smallest_scale=SCALES)),
        targets=draw(st.none() | st.builds(TargetFacts, lowest=KNOWN, highest=KNOWN, scale=KNOWN)),
        restraint=draw(st.none() | st.builds(Restraint, weight_decay=SCALES, is_decoupled=st.booleans())),
        trivial=Trivial(train_loss=draw(KNOWN), val_loss=draw(KNOWN), metric=draw(KNOWN)),
        outcome=draw(
            st.none() | st.builds(Outcome, train_loss=KNOWN, val_loss=KNOWN, metric=st.none(), steps=st.just(70))
        ),
    )
    return History(found, facts)


@given(histories())
@settings(max_examples=400, deadline=None)
def test_a_diagnosis_of_anything_ends_in_words(history: History):
    if not history.tables and history.facts.steps_planned is None:
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        assert diagnose(history).health in {"healthy", "warning", "critical"}
