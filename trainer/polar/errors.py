"""Errors a user can act on, each with the exit code and reason that travel to the run's conditions.

The codes are a contract with the operator (`operator/src/api/exitCodes.ts`): its Jobs fail at once on some of them
and start another attempt after others.
"""


class PolarError(Exception):
    """Base of all errors with an exit code of their own; the message is shown to the user as it is."""

    exit_code = 1
    reason = "Crashed"


class ConfigError(PolarError):
    """The run config has an unknown key, a missing key or a value out of range. Not retried."""

    exit_code = 10
    reason = "ConfigInvalid"


class DataError(PolarError):
    """Training data is missing, unreadable, malformed (names file and line) or leaves a split empty. Not retried."""

    exit_code = 11
    reason = "DataInvalid"


class CheckpointError(PolarError):
    """Weights to start from are missing or fail verification. Not retried."""

    exit_code = 12
    reason = "CheckpointInvalid"


class NonFiniteLossError(PolarError):
    """The loss became NaN or infinite; the message names the step and the rows of the batch.

    Retried once, from the checkpoint before the newest.
    """

    exit_code = 13
    reason = "NonFiniteLoss"


class StorageFullError(PolarError):
    """The checkpoint volume has no space left (or a quota was hit). Not retried: a person must make room."""

    exit_code = 14
    reason = "StorageFull"


class OutOfMemoryError(PolarError):
    """The device or the host ran out of memory."""

    exit_code = 15
    reason = "OutOfMemory"


class HungError(PolarError):
    """A rank made no progress for longer than the hang timeout; the message names it. Its stacks are in the log."""

    exit_code = 16
    reason = "Hung"


class ReplicasDifferError(PolarError):
    """Ranks that train the same weights no longer have the same: a device or its memory is faulty."""

    exit_code = 17
    reason = "ReplicasDiffer"


class Interrupted(PolarError):
    """SIGTERM or a saveAndStop command: training stopped before its last step, after saving where there was something
    to save."""

    exit_code = 20
    reason = "Interrupted"
