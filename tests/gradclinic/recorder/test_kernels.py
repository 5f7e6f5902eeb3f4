"""Both kernels against a slow float64 reference, whatever the numbers and layouts are."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradclinic.recorder.kernels import KERNEL_VARIABLE, choose_kernel, make_kernel
from gradclinic.recorder.schedule import GRADIENT_COLUMNS

KERNELS = [("compiled", False), ("torch", False), ("torch", True)]


def reference(array):
    """The row of one gradient, by exact sums."""
    x = [float(value) for value in np.asarray(array, np.float64).ravel()]
    if not x:
        return [0.0] * 6
    bad = sum(not math.isfinite(value) for value in x)
    zeros = sum(value == 0 for value in x) / len(x)
    if bad:
        largest = math.nan if any(map(math.isnan, x)) else math.inf
        with np.errstate(invalid="ignore"):
            return [largest, largest, float(np.sum(x)), math.nan, zeros, bad]
    scale = max(map(abs, x)) or 1.0
    scaled = [value / scale for value in x]
    mean = math.fsum(scaled) / len(x)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / len(x))
    norm = math.sqrt(math.fsum(value**2 for value in scaled))
    return [norm * scale, max(map(abs, x)), mean * scale, std * scale, zeros, 0.0]


def assert_row(row, expected):
    # Relative to the largest element: a mean of large numbers that cancel is as exact as their sum.
    size = expected[1] if math.isfinite(expected[1]) else 1.0
    assert row == pytest.approx(expected, rel=1e-9, abs=1e-9 * size, nan_ok=True)
    assert row[0] == pytest.approx(expected[0], rel=1e-9, abs=0, nan_ok=True)


arrays = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
        elements=st.floats(width=np.dtype(dtype).itemsize * 8, allow_nan=True, allow_infinity=True).filter(
            # The norm of a float64 tensor has to be a float64 itself.
            lambda value: not math.isfinite(value) or abs(value) < 1e306
        ),
    )
)


@pytest.mark.parametrize(("name", "defer"), KERNELS)
@settings(deadline=None, max_examples=60)
@given(gradients=st.lists(arrays, min_size=1, max_size=4))
def test_statistics_agree_with_exact_sums(name, defer, gradients):
    kernel = make_kernel(name, defer=defer)
    tensors = [torch.tensor(gradient) for gradient in gradients]
    whole = np.asarray(kernel.measure(tensors, whole=True))
    norms = np.asarray(kernel.measure(tensors, whole=False))
    for row, part, gradient in zip(whole, norms, gradients, strict=True):
        expected = reference(gradient)
        assert_row(row, expected)
        assert part[[0, 5]] == pytest.approx([expected[0], expected[5]], rel=1e-9, abs=0, nan_ok=True)


@pytest.mark.parametrize(("name", "defer"), KERNELS)
def test_every_layout_and_type_is_read(name, defer):
    torch.manual_seed(0)
    base = torch.randn(12, 10)
    sparse = torch.sparse_coo_tensor(
        torch.tensor([[1, 3, 1]]), torch.tensor([2.0, -1.0, 0.5]), (9,), check_invariants=True
    )
    gradients = [
        base,
        base.t(),
        base[::2, 1::3],
        base[3],
        torch.tensor(2.5).expand(4, 4),
        torch.tensor(-3.0),
        base.bfloat16(),
        base.half(),
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        None,
        sparse,
    ]
    kernel = make_kernel(name, defer=defer)
    for whole in (True, False):
        rows = np.asarray(kernel.measure(gradients, whole=whole))
        for gradient, row in zip(gradients, rows, strict=True):
            dense = torch.zeros(3) if gradient is None else gradient.to_dense() if gradient.is_sparse else gradient
            expected = reference(dense.double().numpy())
            if whole:
                assert_row(row, expected)
            assert row[[0, 5]] == pytest.approx([expected[0], 0.0], rel=1e-9, abs=0)


@pytest.mark.parametrize("name", ["compiled", "torch"])
@pytest.mark.parametrize("size", [1e-38, 1e-30, 1.0, 1e30, 1e38])
def test_small_and_large_numbers_have_right_statistics(name, size):
    gradient = torch.linspace(-1, 2, 5000) * size
    row = np.asarray(make_kernel(name, defer=False).measure([gradient], whole=True))[0]
    assert row == pytest.approx(reference(gradient.numpy()), rel=1e-9, abs=0)


@pytest.mark.parametrize("name", ["compiled", "torch"])
def test_a_deviation_that_is_small_beside_the_mean_is_not_lost(name):
    gradient = 1e8 + torch.randn(10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    row = np.asarray(make_kernel(name, defer=False).measure([gradient], whole=True))[0]
    assert row[3] == pytest.approx(float(np.std(gradient.numpy() - 1e8)), rel=1e-6)


@pytest.mark.parametrize(("name", "defer"), KERNELS)
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_changes_are_measured_against_what_was_kept(name, defer, size):
    kernel = make_kernel(name, defer=defer)
    weights = [torch.randn(30, 7) * size, torch.randn(5).double() * size, torch.empty(0), torch.tensor(size)]
    for _ in range(2):
        before = [weight.clone() for weight in weights]
        norms = np.asarray(kernel.keep(weights))
        for weight in weights:
            weight.add_(torch.randn_like(weight), alpha=0.01 * size)
        changes = np.asarray(kernel.change(weights))
        for place, (old, new) in enumerate(zip(before, weights, strict=True)):
            assert norms[place] == pytest.approx(reference(old.numpy())[0], rel=1e-9, abs=0)
            change = reference(new.double().numpy() - old.double().numpy())[0]
            assert changes[place] == pytest.approx(change, rel=1e-9, abs=0)


def test_columns_are_those_that_the_schedule_names():
    assert GRADIENT_COLUMNS == (
        "grad_norm", "grad_max", "grad_mean", "grad_std", "grad_zero_fraction", "grad_nonfinite",
    )  # fmt: skip


def test_a_kernel_is_chosen_by_argument_then_by_environment(monkeypatch):
    monkeypatch.delenv(KERNEL_VARIABLE, raising=False)
    assert choose_kernel(None, defer=False, on_cpu=True) == "compiled"
    assert choose_kernel(None, defer=True, on_cpu=True) == "torch"
    assert choose_kernel(None, defer=False, on_cpu=False) == "torch"
    monkeypatch.setenv(KERNEL_VARIABLE, "torch")
    assert choose_kernel(None, defer=False, on_cpu=True) == "torch"
    assert choose_kernel("compiled", defer=False, on_cpu=True) == "compiled"
    with pytest.raises(ValueError, match="expected one of compiled, torch"):
        choose_kernel("cuda", defer=False, on_cpu=True)
    with pytest.raises(ValueError, match="CPU's memory"):
        choose_kernel("compiled", defer=True, on_cpu=True)


@pytest.mark.slow
def test_without_a_place_for_machine_code_the_kernel_compiles_all_the_same(tmp_path):
    # A file where numba wants a folder: nothing can be written there, not even by root.
    (tmp_path / "file").touch()
    script = (
        "import torch; from gradclinic.recorder.kernels import make_kernel;"
        "print(make_kernel('compiled', defer=False).measure([torch.ones(4)], whole=True)[0, 0])"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache")}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "2.0"
