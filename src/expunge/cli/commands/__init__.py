"""One module a command; the function has the name of its module, and :mod:`expunge.cli.app` finds it."""
