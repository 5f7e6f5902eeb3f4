"""Reports of a job and its diagnosis for people. Text for a terminal; knows neither torch nor HTTP."""

from gradclinic.report.naming import abbreviate_layers
from gradclinic.report.overview import (
    POINTS,
    SIGNALS,
    Overview,
    overview_of_document,
    overview_of_history,
    render_overview,
)
from gradclinic.report.resolved import render_resolved
from gradclinic.report.sweep import render_sweep
from gradclinic.report.text import render_job, render_text

__all__ = [
    "POINTS",
    "SIGNALS",
    "Overview",
    "abbreviate_layers",
    "overview_of_document",
    "overview_of_history",
    "render_job",
    "render_overview",
    "render_resolved",
    "render_sweep",
    "render_text",
]
