"""Where cells run: one module an executor, found by the registry. None of them changes a cell or its hash."""
