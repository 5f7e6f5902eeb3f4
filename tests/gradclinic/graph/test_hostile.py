"""Artifacts that nobody exported: refused in words, whatever they hold, before memory is taken."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradclinic.errors import InvalidSpec
from gradclinic.graph import METADATA_KEY, read_graph
from gradclinic.model import check_document


def rewrite(path, change):
    """Change the JSON graph of an artifact and leave its tensors as they are."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    graph = json.loads(header["__metadata__"][METADATA_KEY])
    change(graph)
    header["__metadata__"][METADATA_KEY] = json.dumps(graph)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def node(op, *args, **kwargs):
    return {"name": "evil", "op": op, "args": list(args), "kwargs": kwargs}


def pointers_of(check):
    """Where the faults stand that a check finds; anything but InvalidSpec comes through."""
    try:
        check()
    except InvalidSpec as refused:
        return {fault.pointer for fault in refused.faults}
    return set()


X = {"node": "x"}


@pytest.mark.parametrize(
    ("evil", "words"),
    [
        (node("aten.as_strided.default", X, [9], [9]), "not allowed"),
        (node("os.system", "none"), "not allowed"),
        (node("aten.expand.default", {"tensor": "head.bias"}, [1_000_000, 1_000_000, 10]), "more than is allowed"),
        (node("aten.zeros.default", [1_000_000, 1_000_000]), "more than is allowed"),
        (node("aten.softmax.int", X, 1, 100), "as dtype"),
        (node("aten.relu.default", X, self=X), "twice"),
        (node("aten.relu.default", X, node=X), "does not know"),
        (node("operator.mul", [1, 2, 3], 2_000_000_000), "other arguments than numbers"),
        (node("aten.max_pool1d.default", X, 2_000_000_000, 1, 1_000_000_000), "a window"),
        (node("aten.linear.default", X, {"tensor": "nobody"}), "no tensor"),
        (node("aten.linear.default", X, {"node": "later"}), "no node before it"),
        (node("aten.relu.default", "__import__"), "text"),
        (node("aten.mul.Tensor", X, 1e300), "too large"),
        (node("aten.relu_.default", {"tensor": "head.weight"}), "overwrites"),
        (
            node(
                "aten.gru.input", X, X, [X, X, X, X], True, 1, 0.0, {"training": True, "evaluation": False}, False, True
            ),
            "three dimensions",
        ),
        (node("aten.upsample_bilinear2d.vec", X, None, False, [1e-30, 1e-30]), "a scale"),
    ],
)
def test_a_hostile_node_is_refused_by_its_name(evil, words, deep, spec, files):
    rewrite(deep, lambda graph: graph["nodes"].insert(0, evil))
    with pytest.raises(InvalidSpec, match=words) as refused:
        check_document(spec(), files=files)
    assert all(fault.pointer == "/model/artifact" and "evil" in fault.detail for fault in refused.value.faults)


def test_a_size_that_grows_with_the_batch_alone_is_found_at_every_batch(deep, spec, files):
    """Fine for 64 samples, and a trap for the 30 that are left over at the end of each epoch."""

    def trap(graph):
        size = {"name": "size", "op": "aten.sym_size.int", "args": [X, 0]}
        less = {"name": "less", "op": "operator.sub", "args": [65, {"node": "size"}]}
        big = {"name": "big", "op": "aten.zeros.default", "args": [[{"node": "less"}, 100_000_000]]}
        graph["nodes"][:0] = [size, less, big]

    rewrite(deep, trap)
    with pytest.raises(InvalidSpec, match="'big'"):
        check_document(spec(), files=files)


@pytest.mark.parametrize("length", [0, 7, 8, 9, 100, -1])
def test_a_file_that_is_cut_off_is_refused(length, deep):
    deep.write_bytes(deep.read_bytes()[:length])
    with pytest.raises(InvalidSpec, match="artifact"):
        read_graph(deep)


def test_a_header_that_is_too_long_is_refused_before_it_is_read(deep):
    deep.write_bytes((9 * 1024 * 1024).to_bytes(8, "little") + b" " * (9 * 1024 * 1024))
    with pytest.raises(InvalidSpec, match="limit here"):
        read_graph(deep)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read(data, deep):
    whole = deep.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, length + 8))] = data.draw(st.integers(0, 255))
    damaged = deep.with_name("damaged")
    damaged.write_bytes(raw)
    assert pointers_of(lambda: read_graph(damaged)) <= {"/model/artifact"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["node", "tensor", "dtype", "x"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10), key=st.sampled_from(["name", "op", "args", "kwargs", "layer", "watched"]), value=JSON)
def test_any_json_in_a_node_is_refused_or_resolved(place, key, value, deep, spec, files):
    whole = deep.read_bytes()
    try:
        rewrite(deep, lambda graph: graph["nodes"][place].update({key: value}))
        assert pointers_of(lambda: check_document(spec(), files=files)) <= {"/model/artifact"}
    finally:
        deep.write_bytes(whole)
