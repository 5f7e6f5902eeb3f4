"""Gradient analysis for PyTorch trainings."""
