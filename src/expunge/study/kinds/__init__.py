"""One module a kind of cell; its ``run(job) -> Outcome`` is found by the module's name."""
