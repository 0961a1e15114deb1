"""Methods that hide on purpose, or break on purpose: the known cases on which an audit is itself examined."""
