"""Data sets as tensors: drawn or loaded, shuffled, split and scaled as the contract says."""

from gradclinic.training.data.prepare import Part, PreparedData, prepare_data

__all__ = ["Part", "PreparedData", "prepare_data"]
