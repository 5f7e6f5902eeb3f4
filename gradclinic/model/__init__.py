"""From a spec to a PyTorch network: its shapes, its costs, the network itself, and the facts about its layers."""

from gradclinic.model.build import build_model
from gradclinic.model.check import check_document
from gradclinic.model.facts import layer_facts
from gradclinic.model.layers import takes_tokens
from gradclinic.model.measure import warm_up
from gradclinic.model.spec import is_resolvable, resolve_spec

__all__ = [
    "build_model",
    "check_document",
    "is_resolvable",
    "layer_facts",
    "resolve_spec",
    "takes_tokens",
    "warm_up",
]
