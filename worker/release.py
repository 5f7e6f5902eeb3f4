"""Handing a job back: its worker shuts down and has not lost it. No attempt was wasted by the job itself."""

from __future__ import annotations

from gradclinic.errors import LeaseLost
from store.claim import still_held
from store.queue import Claim
from store.status import move_job
from store.transactions import Writer


def release_job(writer: Writer, claim: Claim) -> None:
    """Put the job back into the queue, to be announced at once.

    Raises:
        LeaseLost: The claim no longer holds.
    """
    if not move_job(writer, claim.job_id, "queued", where=still_held(claim), announced_at=None, step=0):
        raise LeaseLost(f"Attempt {claim.attempt} no longer holds job {claim.job_id}: there is nothing to hand back.")
