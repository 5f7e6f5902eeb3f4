"""Gradient histories: the tables of a run's signals, and how they are packed. Knows neither torch nor a database."""

from gradclinic.history.codec import HEADER_BYTES, decode_table, encode_table, peek_table
from gradclinic.history.facts import InputFacts, LayerFacts, Restraint, RunError, RunFacts, TargetFacts, Trivial
from gradclinic.history.history import CHUNK_STEPS, WHOLE_STEP, History, SignalTable, column_name, concatenate

__all__ = [
    "CHUNK_STEPS",
    "HEADER_BYTES",
    "WHOLE_STEP",
    "History",
    "InputFacts",
    "LayerFacts",
    "Restraint",
    "RunError",
    "RunFacts",
    "SignalTable",
    "TargetFacts",
    "Trivial",
    "column_name",
    "concatenate",
    "decode_table",
    "encode_table",
    "peek_table",
]
