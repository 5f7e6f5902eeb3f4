"""How sure a cause is: what the numbers promise, on draws whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradclinic.diagnosis.attribution import attribute
from gradclinic.diagnosis.confidence import DRAWS, MOST, beyond, share_beyond, wins_again
from gradclinic.history import LayerFacts


def test_at_the_threshold_it_is_a_coin():
    assert beyond(0.3, 0.3) == pytest.approx(0.5)
    assert share_beyond(0.5, 0.5) == pytest.approx(0.5)


def test_it_grows_with_the_distance_and_never_becomes_a_certainty():
    found = [beyond(factor, 1.0) for factor in (0.1, 1.0, 3.0, 10.0, 1e9, math.inf)]
    assert found == sorted(found)
    assert found[2] == pytest.approx(0.8413, abs=1e-4)
    assert found[-1] == MOST < 1


def test_numbers_below_0_and_none_are_beyond_nothing():
    assert beyond(0.0, 1.0) == beyond(math.nan, 1.0) == 0.0
    assert beyond(1.0, 0.0) == MOST


def test_shares_count_by_their_odds():
    assert share_beyond(0.9, 0.5) == pytest.approx(beyond(9.0, 1.0))
    assert share_beyond(1.0, 0.5) == MOST


def test_the_same_each_time_is_nearly_certain_and_a_coin_is_a_coin():
    assert wins_again(10, lambda *_: "weights", "weights") == (DRAWS + 1) / (DRAWS + 2)
    coin = wins_again(10, lambda _, generator: int(generator.integers(2)), 1)
    assert 0.35 < coin < 0.65


def test_neighbours_are_drawn_together():
    lengths = []

    def draw(places: np.ndarray, _: np.random.Generator) -> None:
        lengths.append(np.mean(np.diff(places) == 1))

    wins_again(64, draw, None)
    assert 0.7 < np.mean(lengths) < 0.85  # blocks of four: three of four follow their neighbour


def chain(*types: str) -> list[LayerFacts]:
    return [LayerFacts(name=str(place), type=kind) for place, kind in enumerate(types)]


def test_a_cause_that_every_record_and_layer_shows_is_nearly_certain():
    gains = np.tile([-0.65, 0.0] * 6, (8, 1))
    cause = attribute(chain("Linear", *["Sigmoid", "Linear"] * 6), gains, sign=-1)
    assert cause is not None
    assert cause.what == "activation"
    assert cause.confidence == (DRAWS + 1) / (DRAWS + 2)


def test_two_causes_of_one_size_are_told_as_a_guess():
    generator = np.random.default_rng(0)
    gains = -0.5 + generator.normal(0.0, 0.3, (8, 12))
    cause = attribute(chain("Linear", *["Sigmoid", "Linear"] * 6), gains, sign=-1)
    assert cause is not None
    assert cause.confidence is not None
    assert cause.confidence < 0.9


def test_one_layer_that_decides_alone_is_less_sure_than_many():
    """Drawn anew, the one layer is left out in a third of the samples."""
    layers = chain("Linear", *["Sigmoid", "Linear"] * 6)
    one = np.tile([*[-0.1, 0.0] * 5, -0.1, -2.0], (8, 1))
    many = np.tile([-0.1, -2.0 / 6] * 6, (8, 1))
    found = [attribute(layers, gains, sign=-1) for gains in (one, many)]
    assert [cause.what for cause in found if cause] == ["weights", "weights"]
    sure = [cause.confidence or 0.0 for cause in found if cause]
    assert sure[0] < 0.8 < sure[1]


def test_activations_that_nobody_saw_leave_one_half():
    cause = attribute(chain(*["Linear"] * 8), np.full((5, 7), -0.6), sign=-1, sees_all=False)
    assert cause is not None
    assert (cause.what, cause.confidence) == ("weights", 0.5)


def test_records_count_by_their_steps():
    """One late record stands for most of the training: what it shows is typical."""
    layers, gains = (
        chain("Linear", *["Sigmoid", "Linear"] * 2),
        np.array([[-1.0, 0, -1.0, 0]] * 3 + [[0, -1.0, 0, -1.0]]),
    )
    cause = attribute(layers, gains, weights=np.array([1.0, 1.0, 1.0, 10.0]), sign=-1)
    assert cause is not None
    assert cause.what == "weights"


def shared(kind: str, calls: int = 7) -> list[LayerFacts]:
    return [LayerFacts(name="act", type=kind, on_trunk=False, calls=calls)]


def test_one_sigmoid_called_for_several_layers_is_named_by_what_it_takes_at_least():
    """A sigmoid's slope is nowhere above one quarter, so that it takes 0.6 decades a call whatever the weights are."""
    layers, gains = chain(*["Linear"] * 8), np.full((5, 7), -0.8)
    cause = attribute(layers, gains, sign=-1, sees_all=False, off_trunk=shared("Sigmoid"))
    assert cause is not None
    assert (cause.what, cause.share) == ("activation", pytest.approx(math.log10(4) / 0.8))
    assert "Sigmoid (act), one module called 7 times" in cause.detail
    assert cause.confidence is not None
    assert cause.confidence > 0.99


@pytest.mark.parametrize(
    ("off_trunk", "named"),
    [
        (shared("Tanh"), "Tanh (act)"),
        (shared("Sigmoid", calls=2), "Sigmoid (act)"),
        (shared("Linear"), "cannot tell apart"),
    ],
)
def test_a_shared_module_that_need_not_take_most_is_a_guess(off_trunk: list[LayerFacts], named: str):
    cause = attribute(chain(*["Linear"] * 8), np.full((5, 7), -0.8), sign=-1, sees_all=False, off_trunk=off_trunk)
    assert cause is not None
    assert (cause.what, cause.confidence) == ("weights", 0.5)
    assert named in cause.detail


def test_a_shared_sigmoid_makes_no_gradient_grow():
    cause = attribute(chain(*["Linear"] * 8), np.full((5, 7), 0.8), sign=1, sees_all=False, off_trunk=shared("Sigmoid"))
    assert cause is not None
    assert cause.what == "weights"
