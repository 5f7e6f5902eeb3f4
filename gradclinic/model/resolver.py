"""Working out the shapes of a model's layers, and every fault that shapes alone decide. Nothing is built here."""

from __future__ import annotations

import math
import time

from gradclinic.contract.initialization import Init
from gradclinic.contract.layers import AnyLayer, Layers
from gradclinic.contract.limits import DEFAULT_LIMITS, Limits
from gradclinic.contract.spec import Model
from gradclinic.errors import Fault, InvalidSpec
from gradclinic.model.combinators import COMBINATORS
from gradclinic.model.initialization import init_problems
from gradclinic.model.layers import is_frozen, own_init
from gradclinic.model.measure import Measured, measure_layer, warm_up
from gradclinic.model.place import MODEL, Place
from gradclinic.model.resolution import Entry, Resolution, alone, joined, shape_of
from gradclinic.model.sample import Sample
from gradclinic.model.steps import STEPS


def count_layers(layers: Layers) -> int:
    """Count layers after unrolling, by arithmetic: ten thousand turns take no longer than one."""
    return sum(
        combinator.count(layer, count_layers) if (combinator := COMBINATORS.get(layer.type)) else 1 for layer in layers
    )


class Resolver:
    """Resolves one model for batches of `batch` samples. Equal layers on equal shapes are measured once."""

    def __init__(self, model: Model, batch: int, limits: Limits = DEFAULT_LIMITS) -> None:
        warm_up()  # before the clock starts: what PyTorch loads the first time is no fault of the model
        self._model = model
        self._batch = batch
        self._limits = limits
        self._deadline = time.monotonic() + limits.resolve_seconds
        self._measured: dict[tuple[AnyLayer, Sample], Measured] = {}

    def resolve(self, sample: Sample) -> Resolution:
        """Resolve the whole model on such samples.

        Raises:
            InvalidSpec: It takes longer than the limits allow.
        """
        return self._layers(self._model.layers, MODEL, sample)

    def measure(self, layer: AnyLayer, sample: Sample) -> Measured:
        """Return what a layer that holds no others does on such samples."""
        key = (layer, sample)
        if key not in self._measured:
            self._check_time()
            self._measured[key] = measure_layer(layer, sample, self._batch)
        return self._measured[key]

    def _layers(self, layers: Layers, place: Place, sample: Sample) -> Resolution:
        """Resolve layers one after the other, as far as shapes can be told."""
        output: Sample | None = sample
        parts: list[Resolution] = []
        for index, layer in enumerate(layers):
            if output is None:
                break
            parts.append(self._layer(layer, place.layer(index, layer), output))
            output = parts[-1].output
        return joined(output, parts)

    def _layer(self, layer: AnyLayer, place: Place, sample: Sample) -> Resolution:
        combinator = COMBINATORS.get(layer.type)
        if combinator is not None:
            return combinator.resolve(layer, place, sample, self._layers)
        measured = self.measure(layer, sample)
        if measured.misfit is not None:
            pointer = f"{place.pointer}/{measured.misfit.key}" if measured.misfit.key else place.pointer
            detail = f"{place.name} ({layer.type}): {measured.misfit.detail}."
            return Resolution(measured.output, faults={pointer: Fault(pointer, detail, measured.misfit.expected)})
        return self._right(layer, place, sample, measured)

    def _right(self, layer: AnyLayer, place: Place, sample: Sample, measured: Measured) -> Resolution:
        """Say what a layer takes whose shapes are right, and whether it can be initialized and held."""
        output = shape_of(measured.output)
        numbers = sum(math.prod(size) for _, size in measured.parameters)
        entry = Entry(
            layer,
            place,
            sample.shape,
            output,
            parameters=numbers,
            trained=0 if is_frozen(layer) else numbers,
            tensors=len(measured.parameters),
            flops=measured.flops,
            held=measured.held,
            calls=measured.calls,
            watched=1,
        )
        faults = self._init_faults(layer, place, measured)
        held = 4 * self._batch * max(measured.held, math.prod(output))
        if held > self._limits.max_memory:
            # Told here, because later layers could only multiply it to sizes that no arithmetic of PyTorch can hold.
            detail = f"{place.name} ({layer.type}) would hold {held:,} bytes for a batch of {self._batch}."
            faults.append(Fault(place.pointer, detail, f"at most {self._limits.max_memory:,} bytes of memory"))
            return Resolution(None, faults={fault.pointer: fault for fault in faults})
        if layer.type in STEPS and sample.shape[0] > self._limits.max_sequence:
            detail = f"{place.name} ({layer.type}) goes through sequences of {sample.shape[0]:,} steps;"
            detail += f" the limit here is {self._limits.max_sequence:,}."
            faults.append(Fault(place.pointer, detail, f"at most {self._limits.max_sequence:,} steps"))
        right = alone(entry, measured.output)
        return joined(measured.output, (right, Resolution(None, faults={fault.pointer: fault for fault in faults})))

    def _init_faults(self, layer: AnyLayer, place: Place, measured: Measured) -> list[Fault]:
        init, where = init_of(layer, self._model, place)
        return [
            Fault(f"{where}/{part}", f"{place.name} ({layer.type}): {detail}.", expected)
            for part, (detail, expected) in init_problems(init, measured.parameters).items()
        ]

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            detail = f"Working out the shapes took longer than {self._limits.resolve_seconds:g} seconds."
            raise InvalidSpec([Fault(MODEL.pointer, detail, "fewer layers, or fewer that differ")])


def init_of(layer: AnyLayer, model: Model, place: Place) -> tuple[Init | None, str]:
    """Return the initialization that holds for a layer, and where in the spec it stands."""
    own = own_init(layer)
    return (own, f"{place.pointer}/init") if own is not None else (model.init, "/model/init")
