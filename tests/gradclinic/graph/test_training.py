"""Graphs in jobs: checked, trained, diagnosed and mended as models of layers are."""

from functools import partial

import numpy as np
import pytest

from gradclinic.contract.limits import Limits
from gradclinic.contract.schema import spec_schema
from gradclinic.diagnosis import diagnose
from gradclinic.errors import InvalidSpec, NotFound
from gradclinic.files import Files
from gradclinic.fixes import propose_fixes
from gradclinic.model import check_document, is_resolvable
from gradclinic.training import train


@pytest.mark.usefixtures("deep")
def test_a_deep_sigmoid_model_is_diagnosed_by_its_own_names(spec, files):
    parsed, resolved = check_document(spec(), files=files)
    assert resolved.layers[0].name == "body.0"
    assert resolved.layers[0].type == "Linear"
    assert resolved.layers[0].pointer == "/model/artifact"
    assert resolved.layers[0].output_shape == [64]
    assert resolved.parameters == 18 * (64 * 64 + 64) + 64 * 10 + 10
    # Of products: two operations a weight and sample, three times over for both passes.
    assert resolved.flops_per_step == pytest.approx(6 * 64 * (18 * 64 * 64 + 640), rel=0.1)
    history = train(parsed, files=files).history
    diagnosis = diagnose(history)
    (found,) = [finding for finding in diagnosis.findings if finding.rule == "vanishing_gradient"]
    assert found.layers[0] == "body.0"
    assert found.cause.what == "activation"
    fixes = propose_fixes(spec(), diagnosis, is_valid=partial(is_resolvable, files=files))
    assert "optimizer" in {fix.kind for fix in fixes}
    assert all(not one["path"].startswith("/model") for fix in fixes for one in fix.patch)


@pytest.mark.slow
@pytest.mark.usefixtures("deep")
def test_the_same_spec_gives_the_same_history_and_init_draws_by_the_seed(spec, files):
    init = {"weight": {"type": "xavier_normal_"}, "bias": {"type": "zeros_"}}
    parsed, _ = check_document(spec(model={"type": "graph", "artifact": "model", "init": init}), files=files)
    one, again, other = (train(parsed, seed=seed, files=files) for seed in (0, 0, 1))
    assert np.array_equal(one.history["loss"].values, again.history["loss"].values)
    weights = [dict(run.network.named_parameters())["body.0.weight"] for run in (one, other)]
    assert not weights[0].equal(weights[1])


def faults(document, files, **limits):
    with pytest.raises(InvalidSpec) as refused:
        check_document(document, Limits(**limits), files)
    return {fault.pointer: f"{fault.detail} {fault.expected}" for fault in refused.value.faults}


@pytest.mark.usefixtures("deep")
def test_what_does_not_fit_is_told_at_the_artifact(spec, files):
    told = faults(spec(data={"type": "digits", "flatten": False}), files)
    assert "[N, 64], and digits gives [N, 1, 8, 8]" in told["/model/artifact"]
    assert "flatten true" in told["/model/artifact"]
    assert "parameters" in faults(spec(), files, max_parameters=1000)["/model/artifact"]
    assert "bytes" in faults(spec(), files, max_memory=100_000)["/model/artifact"]
    assert "/training/steps" in faults(spec(training={"steps": 100_000}), files, max_seconds=1)
    init = {"type": "graph", "artifact": "model", "init": {"weight": {"type": "dirac_"}}}
    assert list(faults(spec(model=init), files)) == ["/model/init/weight"]


def test_an_artifact_that_is_not_there_is_a_fault(spec):
    def missing(name):
        raise NotFound("artifact", name)

    assert "no artifact 'model'" in faults(spec(), Files(artifact_path=missing))["/model/artifact"]
    assert "cannot be found here" in faults(spec(), None)["/model/artifact"]


@pytest.mark.parametrize(
    ("model", "pointer", "words"),
    [
        ({"type": "grph", "artifact": "a"}, "/model/type", "not among the choices"),
        ({"type": "graph"}, "/model/artifact", "missing"),
        ({"type": "graph", "artifact": "../a"}, "/model/artifact", "pattern"),
        ({"type": "graph", "artefact": "a", "artifact": "a"}, "/model/artefact", "Did you mean 'artifact'"),
        ({"layers": [{"type": "ReLU"}], "inti": None}, "/model/inti", "Did you mean 'init'"),
        ({"layers": [{"type": "Linear", "out_features": 0}]}, "/model/layers/0/out_features", "greater than"),
        ({}, "/model/layers", "missing"),
        ([], "/model", "object"),
    ],
)
def test_layers_and_graphs_are_told_apart_and_errors_keep_their_places(model, pointer, words, spec):
    assert words in faults(spec(model=model), None)[pointer]


def test_the_schema_knows_both():
    assert {"Model", "GraphModel"} <= spec_schema()["$defs"].keys()
    assert len(spec_schema()["properties"]["model"]["oneOf"]) == 2
