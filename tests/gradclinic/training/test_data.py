"""Preparing data as the contract says: shuffled, limited, split, scaled by the training part alone."""

import numpy as np
import pytest
import torch

from gradclinic.contract.parse import parse_spec
from gradclinic.errors import InvalidSpec
from gradclinic.files import Files
from gradclinic.training.data import prepare_data
from tests.gradclinic.files.making import mnist_like, write_images


def spec_of(**data):
    return parse_spec(
        {
            "model": {"layers": [{"type": "Linear", "out_features": 1}]},
            "data": data,
            "loss": {"type": "MSELoss"},
            "optimizer": {"type": "SGD"},
        }
    )


def prepared(**data):
    return prepare_data(spec_of(**data).data)


@pytest.mark.parametrize(
    "name", ["digits", "breast_cancer", "wine", "iris", "diabetes", "linear_regression", "blobs", "circles", "moons"]
)
def test_what_is_loaded_is_what_the_facts_say(name):
    data = prepared(type=name)
    assert tuple(data.train.inputs.shape) == (data.facts.train, *data.facts.input_shape)
    assert len(data.judged) == data.facts.validation
    assert data.train.inputs.dtype == torch.float32
    if data.facts.classes is None:
        assert data.train.targets.dtype == torch.float32
        assert tuple(data.train.targets.shape) == (data.facts.train, data.facts.targets)
    else:
        assert data.train.targets.dtype == torch.int64
        assert set(data.train.targets.tolist()) == set(range(data.facts.classes))


def test_features_of_a_table_are_scaled_one_by_one_with_the_training_part():
    train = prepared(type="wine").train.inputs
    assert train.mean(dim=0).abs().max() < 1e-5
    assert train.std(dim=0, unbiased=False) == pytest.approx(torch.ones(13), abs=1e-4)


def test_pixels_share_one_scale():
    data = prepared(type="digits")
    assert abs(float(data.train.inputs.mean())) < 1e-5
    assert float(data.train.inputs.std()) == pytest.approx(1.0, abs=1e-3)
    assert len(data.train.inputs.std(dim=0).round(decimals=2).unique()) > 10


def test_minmax_scales_into_minus_one_to_one():
    train = prepared(type="iris", normalize="minmax").train.inputs
    assert train.min(dim=0).values.tolist() == [-1.0] * 4
    assert train.max(dim=0).values.tolist() == [1.0] * 4


def test_without_normalize_values_stay_as_they_are():
    inputs = prepared(type="digits", normalize=False).train.inputs
    assert (float(inputs.min()), float(inputs.max())) == (0.0, 16.0)


def test_targets_are_scaled_only_when_asked():
    assert float(prepared(type="diabetes").train.targets.mean()) > 100
    assert abs(float(prepared(type="diabetes", normalize_target=True).train.targets.mean())) < 1e-5


def test_no_row_is_in_both_parts_and_the_seed_decides_which():
    first, second = prepared(type="diabetes"), prepared(type="diabetes", seed=1)
    rows = [{tuple(row) for row in part.inputs.tolist()} for part in (first.train, first.judged)]
    assert not rows[0] & rows[1]
    assert not torch.equal(first.judged.targets, second.judged.targets)


def test_without_a_validation_part_the_training_part_is_judged():
    data = prepared(type="iris", validation_split=0.0)
    assert len(data.judged) == len(data.train) == 150


def test_linear_regression_follows_its_coefficients():
    data = prepared(
        type="linear_regression", features=2, coefficients=[2.0, -3.0], bias=1.0, low=-1.0, high=2.0, normalize=False
    )
    expected = data.train.inputs @ torch.tensor([2.0, -3.0]) + 1.0
    assert torch.allclose(data.train.targets[:, 0], expected, atol=1e-5)
    assert float(data.train.inputs.min()) >= -1.0
    assert float(data.train.inputs.max()) <= 2.0


def test_limit_keeps_so_many_rows():
    assert len(prepared(type="moons", limit=50).train) == 40


def test_a_feature_that_never_changes_becomes_zero():
    data = prepared(type="digits", normalize="minmax", limit=10)
    assert np.isfinite(data.train.inputs.numpy()).all()


class TestGenerators:
    @pytest.mark.parametrize(
        ("name", "more"),
        [
            ("spirals", {"classes": 3, "samples": 100}),
            ("gaussian_quantiles", {"features": 3, "classes": 4, "noise": 0.1}),
            ("adding_problem", {"length": 9, "samples": 50}),
            ("copy_memory", {"length": 5, "samples": 50}),
            ("random_images", {"shape": [2, 5, 4], "classes": 3, "samples": 20}),
        ],
    )
    def test_what_is_drawn_is_what_the_facts_say(self, name, more):
        data = prepared(type=name, validation_split=0.1, **more)
        again = prepared(type=name, validation_split=0.1, **more)
        assert tuple(data.train.inputs.shape) == (data.facts.train, *data.facts.input_shape)
        assert tuple(data.train.targets.shape) == (data.facts.train, *data.facts.target_shape)
        assert (len(data.judged), data.facts.train + data.facts.validation) == (
            data.facts.validation,
            more.get("samples", 1000),
        )
        assert data.train.inputs.dtype == torch.float32
        assert torch.equal(data.train.inputs, again.train.inputs)
        assert torch.equal(data.train.targets, again.train.targets)
        other = prepared(type=name, seed=1, **more)
        assert not torch.equal(data.train.inputs[:10], other.train.inputs[:10])
        if data.facts.classes and name != "copy_memory":
            assert set(data.train.targets.tolist()) == set(range(data.facts.classes))

    def test_spirals_wind_outwards_by_their_share_of_a_turn(self):
        data = prepared(type="spirals", classes=2, samples=400, normalize=False, validation_split=0.0).train
        radius = data.inputs.norm(dim=1)
        assert float(radius.max()) == pytest.approx(1.0)
        for arm in (0, 1):
            points = data.inputs[data.targets == arm][radius[data.targets == arm].argsort()]
            angle = np.unwrap(np.arctan2(points[:, 1].numpy(), points[:, 0].numpy()))
            assert len(points) == 200
            assert (angle[-1] - angle[0]) / (2 * np.pi) == pytest.approx(0.64 * 199 / 200, abs=1e-3)

    def test_noise_moves_the_points_of_spirals_and_shells(self):
        for name in ("spirals", "gaussian_quantiles"):
            still, moved = (prepared(type=name, normalize=False, noise=noise).train for noise in (0.0, 0.05))
            assert torch.equal(still.targets, moved.targets)
            assert float((still.inputs - moved.inputs).std()) == pytest.approx(0.05, rel=0.1)

    def test_shells_are_told_apart_by_their_radius_alone(self):
        data = prepared(type="gaussian_quantiles", classes=3, normalize=False, validation_split=0.0).train
        radius = data.inputs.norm(dim=1)
        inner, middle, outer = (radius[data.targets == shell] for shell in range(3))
        assert inner.max() <= middle.min()
        assert middle.max() <= outer.min()

    def test_the_adding_problem_adds_the_marked_values(self):
        data = prepared(type="adding_problem", length=7, validation_split=0.0).train
        values, markers = data.inputs[..., 0], data.inputs[..., 1]
        assert markers[:, :3].sum(dim=1).tolist() == markers[:, 3:].sum(dim=1).tolist() == [1.0] * 1000
        assert torch.allclose((values * markers).sum(dim=1), data.targets[:, 0])
        assert (float(values.min()) >= 0, float(values.max()) <= 1) == (True, True), "sequences are not scaled"
        assert set(markers.argmax(dim=1).tolist()) == {0, 1, 2}
        assert prepared(type="adding_problem", length=2, samples=4).facts.input_shape == (2, 2)

    @pytest.mark.parametrize("as_tokens", [False, True])
    def test_copy_memory_asks_for_what_came_first(self, as_tokens):
        data = prepare_data(spec_of(type="copy_memory", length=6, validation_split=0.0).data, as_tokens=as_tokens).train
        assert data.inputs.dtype == (torch.int64 if as_tokens else torch.float32)
        assert (data.inputs.shape, data.targets.dtype) == ((1000, 26), torch.int64)
        inputs = data.inputs.long()
        assert torch.equal(inputs[:, :10], data.targets[:, -10:])
        assert set(inputs[:, :10].flatten().tolist()) == set(range(1, 9))
        assert inputs[:, 10:15].eq(0).all()
        assert inputs[:, 15].eq(9).all()
        assert inputs[:, 16:].eq(0).all()
        assert data.targets[:, :-10].eq(0).all()

    def test_random_images_share_one_scale(self):
        train = prepared(type="random_images", shape=[3, 6, 6], samples=200).train.inputs
        assert abs(float(train.mean())) < 1e-5
        assert float(train.std()) == pytest.approx(1.0, abs=1e-3)


class TestLabels:
    def test_one_hot_makes_vectors(self):
        plain, vectors = prepared(type="iris"), prepared(type="iris", one_hot=True)
        assert vectors.train.targets.dtype == torch.float32
        assert torch.equal(vectors.train.targets.argmax(dim=1), plain.train.targets)
        assert vectors.train.targets.sum(dim=1).eq(1).all()
        assert (vectors.facts.target_shape, vectors.facts.one_hot, vectors.facts.classes) == ((3,), True, 3)

    def test_label_noise_replaces_its_share_and_changes_nothing_else(self):
        clean, noisy = (prepared(type="digits", label_noise=share) for share in (0.0, 0.5))
        assert torch.equal(clean.train.inputs, noisy.train.inputs)
        changed = (clean.train.targets != noisy.train.targets).double().mean()
        assert float(changed) == pytest.approx(0.5 * 0.9, abs=0.04), "one of ten draws is the right label again"
        assert torch.bincount(noisy.train.targets).min() > 100
        assert torch.equal(noisy.train.targets, prepared(type="digits", label_noise=0.5).train.targets)

    @pytest.mark.parametrize(
        ("name", "factor"), [("digits", 10.0), ("breast_cancer", 3.0), ("iris", 50.0), ("blobs", 1000.0)]
    )
    def test_imbalance_leaves_samples_out_geometrically(self, name, factor):
        data = prepared(type=name, imbalance=factor, validation_split=0.0)
        counts = torch.bincount(data.train.targets).double()
        assert len(counts) == data.facts.classes
        assert data.facts.train == len(data.train) == int(counts.sum())
        steps = counts[:-1] / counts[1:]
        assert float(counts[0] / counts[-1]) == pytest.approx(factor, rel=0.1) or counts[-1] == 1
        assert torch.allclose(steps, steps.mean(), rtol=0.25) or counts[-1] <= 5

    def test_imbalance_keeps_as_many_as_it_can(self):
        counts = torch.bincount(prepared(type="breast_cancer", imbalance=2.0, validation_split=0.0).train.targets)
        assert counts.tolist() == [212, 106]
        assert len(prepared(type="breast_cancer", imbalance=1.0, validation_split=0.0).train) == 569

    def test_facts_are_exact_after_samples_were_left_out(self):
        data = prepared(type="iris", imbalance=5.0, limit=60, validation_split=0.25)
        assert (data.facts.train, data.facts.validation) == (len(data.train), len(data.judged)) == (45, 15)


class TestFiles:
    def test_images_of_a_folder_share_one_scale(self, tmp_path):
        write_images(tmp_path / "pets", {"cat": 8, "dog": 8})
        data = prepare_data(spec_of(type="image_folder", path="pets", size=4).data, Files(tmp_path))
        assert abs(float(data.train.inputs.mean())) < 1e-5
        assert float(data.train.inputs.std()) == pytest.approx(1.0, abs=0.01)
        plain = prepare_data(spec_of(type="image_folder", path="pets", size=4, normalize=False).data, Files(tmp_path))
        assert (float(plain.train.inputs.min()), float(plain.train.inputs.max())) == (0.0, 100.0)

    @pytest.mark.parametrize("flatten", [False, True])
    def test_pixels_of_idx_files_share_one_scale(self, tmp_path, flatten):
        mnist_like(tmp_path, 50)
        asked = {"type": "idx", "images": "images", "labels": "labels", "flatten": flatten}
        data = prepare_data(spec_of(**asked).data, Files(tmp_path))
        assert abs(float(data.train.inputs.mean())) < 1e-5
        assert data.facts.input_shape == ((20,) if flatten else (1, 5, 4))
        low = prepare_data(spec_of(**asked, normalize="minmax").data, Files(tmp_path)).train.inputs
        assert (float(low.min()), float(low.max())) == (-1.0, 1.0)

    def test_columns_of_a_table_are_scaled_one_by_one(self, tmp_path):
        lines = "\n".join(f"{index},{1000 * index},{'ab'[index % 2]}" for index in range(20))
        (tmp_path / "t.csv").write_text(f"u,v,y\n{lines}\n")
        data = prepare_data(spec_of(type="table", path="t.csv", target="y").data, Files(tmp_path))
        assert data.train.inputs.mean(dim=0).abs().max() < 1e-6
        assert torch.allclose(data.train.inputs[:, 0], data.train.inputs[:, 1], atol=1e-5)

    @pytest.mark.parametrize(("shape", "scaled"), [((40, 3), True), ((40, 3, 2), False), ((40, 1, 3, 2), True)])
    def test_sequences_of_an_array_are_left_alone(self, tmp_path, shape, scaled):
        x = np.random.default_rng(0).normal(5.0, 2.0, shape).astype(np.float32)
        np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
        data = prepare_data(spec_of(type="arrays", path="a.npz").data, Files(tmp_path))
        assert (abs(float(data.train.inputs.mean())) < 1e-4) == scaled

    def test_whole_numbers_stay_tokens_where_the_model_takes_them(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 7, (40, 5)).astype(np.uint8)
        np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
        data = spec_of(type="arrays", path="a.npz").data
        tokens = prepare_data(data, Files(tmp_path), as_tokens=True)
        assert (tokens.train.inputs.dtype, tokens.facts.tokens) == (torch.int64, 7)
        assert set(tokens.train.inputs.flatten().tolist()) == set(range(7))
        assert prepare_data(data, Files(tmp_path)).train.inputs.dtype == torch.float32

    def test_floats_never_become_tokens(self):
        data = spec_of(type="inline", x=[[0.5], [1.5], [2.0]], y=[0, 1, 1]).data
        assert prepare_data(data, as_tokens=True).train.inputs.dtype == torch.float32

    def test_inline_data_train_as_they_stand(self):
        data = prepare_data(
            spec_of(type="inline", x=[[0, 1], [2, 3], [4, 5]], y=[[0.5, 1], [1.5, 2], [2.5, 3]], normalize=False).data
        )
        assert sorted(data.train.inputs.tolist()) == [[0, 1], [2, 3], [4, 5]]
        assert sorted(data.train.targets.tolist()) == [[0.5, 1], [1.5, 2], [2.5, 3]]

    def test_what_the_rows_cannot_give_is_refused(self, tmp_path):
        (tmp_path / "t.csv").write_text("u,y\n1,0.5\n2,0.25\n")
        with pytest.raises(InvalidSpec, match="/data/label_noise"):
            prepare_data(spec_of(type="table", path="t.csv", target="y", label_noise=0.1).data, Files(tmp_path))

    def test_seeds_shuffle_and_limit_rows_of_files_too(self, tmp_path):
        mnist_like(tmp_path, 50)
        asked = {"type": "idx", "images": "images", "labels": "labels", "normalize": False, "limit": 20}
        first, again, other = (
            prepare_data(spec_of(**asked, seed=seed).data, Files(tmp_path)).train.inputs for seed in (0, 0, 1)
        )
        assert len(first) == 16
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_data_move_to_a_device_as_one():
    data = prepared(type="iris", validation_split=0.0).to(torch.device("meta"))
    assert data.train.inputs.device.type == "meta"
    assert data.judged is data.train


def test_shells_of_many_features_take_no_more_than_their_rows():
    """A covariance of features x features would be 20 GB here."""
    data = prepared(type="gaussian_quantiles", samples=20, features=50_000, classes=3, validation_split=0.0)
    assert data.train.inputs.shape == (20, 50_000)
    assert data.train.targets.bincount().tolist() == [6, 6, 8]


def test_a_column_that_never_changes_does_not_explode_by_rounding():
    rows = [[98.6, float(i)] for i in range(1438)]
    data = prepared(type="inline", x=rows, y=[float(i % 7) + 0.5 for i in range(1438)], validation_split=0.1)
    assert float(data.train.inputs[:, 0].abs().max()) < 1e-6
    assert float(data.train.inputs[:, 1].std()) == pytest.approx(1.0, abs=0.01)
