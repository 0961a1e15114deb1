"""The errors a user may see, each with the exit code that the command line gives it.

ExpungeError            1  some cell failed
├── InputError          2  usage or input: one sentence naming the row, key or tensor, and what to do
├── ThresholdError      3  a ``--require`` threshold fell short
└── InconclusiveError   4  ``--require`` met an inconclusive verdict
"""


class ExpungeError(Exception):
    """Something went wrong that the message explains in one sentence."""

    exit_code = 1


class InputError(ExpungeError):
    """The user's input cannot be used as it is."""

    exit_code = 2


class ThresholdError(ExpungeError):
    """A required threshold was not reached."""

    exit_code = 3


class InconclusiveError(ExpungeError):
    """A required verdict could not be given."""

    exit_code = 4
