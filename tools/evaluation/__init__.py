"""`make evaluate`: the labelled cases, trained and diagnosed, and how often the diagnosis is right."""
