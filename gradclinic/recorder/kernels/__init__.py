"""What reads gradients and weights: one interface, two kernels, and the place where one of them is chosen.

`compiled` reads each tensor once for all of its statistics, on the CPU, and needs numba (`gradclinic[fast]`);
`torch` uses PyTorch's own operators and is right everywhere.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gradclinic.recorder.kernels.torch_only import TorchKernel

KernelName = Literal["compiled", "torch"]

KERNEL_VARIABLE = "GRADCLINIC_RECORDER_KERNEL"
"""The environment variable that names a kernel, for tests and benchmarks."""


class Kernel(Protocol):
    """Reads the tensors of one set of parameters, again and again. It keeps what it needs for that between the calls."""

    def measure(self, gradients: Sequence[Tensor | None], *, whole: bool) -> Tensor | npt.NDArray[np.float64]:
        """Return the statistics `GRADIENT_COLUMNS` (gradients, 6) of each gradient, float64; a missing one counts as all zero.

        Without `whole` only norms and what is not finite are measured; the rest is undefined.
        Mean and std (of all elements, so divided by their number) are NaN or infinite as arithmetic has it where some
        element is, the largest is NaN where one is NaN. Of a tensor without elements everything is 0.
        """
        ...

    def keep(self, weights: Sequence[Tensor]) -> Tensor | npt.NDArray[np.float64]:
        """Copy the weights into buffers that are made once, and return their norms (weights,)."""
        ...

    def change(self, weights: Sequence[Tensor]) -> Tensor | npt.NDArray[np.float64]:
        """Return the norms (weights,) of the differences from what was kept."""
        ...


def choose_kernel(name: KernelName | None, *, defer: bool, on_cpu: bool) -> KernelName:
    """Say which kernel reads: the one asked for, here or by `GRADCLINIC_RECORDER_KERNEL`, else the fastest there is.

    Args:
        name: What was asked for.
        defer: Whether numbers stay on the device for now, which the compiled kernel cannot do.
        on_cpu: Whether any parameter is on the CPU.

    Raises:
        ValueError: There is no such kernel, or it cannot be had here.
    """
    asked = name or os.environ.get(KERNEL_VARIABLE) or None
    if asked is not None and asked not in get_args(KernelName):
        raise ValueError(f"There is no kernel {asked!r}; expected one of {', '.join(get_args(KernelName))}.")
    possible = on_cpu and not defer
    if asked == "compiled" and not (possible and _has_numba()):
        reason = (
            "numba is not installed: pip install gradclinic[fast]" if possible else "it reads the CPU's memory alone"
        )
        raise ValueError(f"The compiled kernel cannot be used here: {reason}.")
    if asked == "torch" or not possible or not _has_numba():
        return "torch"
    try:
        _compiled()
    except Exception as error:
        if asked == "compiled":
            raise
        # A numba that does not fit its numpy or its Python must not stop a training that does not need it.
        warnings.warn(f"numba cannot compile the recorder's kernel, so it records by torch: {error}", stacklevel=3)
        return "torch"
    return "compiled"


def make_kernel(name: KernelName, *, defer: bool) -> Kernel:
    """Make the kernel for one set of parameters."""
    return _compiled() if name == "compiled" else TorchKernel(defer=defer)


def _compiled() -> Kernel:
    # numba takes 0.2 s to import and its compiler as much again to start, which only those pay who record by it.
    from gradclinic.recorder.kernels.compiled import CompiledKernel  # noqa: PLC0415 - see above

    return CompiledKernel()


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None
