"""From a spec to a PyTorch network: its shapes, its costs, the network itself, and the facts about its layers."""

from gradclinic.model.build import build_model
from gradclinic.model.facts import layer_facts
from gradclinic.model.layers import takes_tokens
from gradclinic.model.measure import warm_up
from gradclinic.model.spec import resolve_spec

__all__ = ["build_model", "layer_facts", "resolve_spec", "takes_tokens", "warm_up"]
