"""The client of the service: one method a call. Needs no torch; a program that watches its own training streams through it."""

from gradclinic.client.client import Client

__all__ = ["Client"]
