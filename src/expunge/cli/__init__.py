"""The command line: a thin view of :mod:`expunge.api`. Nothing heavy is imported before a command runs."""
