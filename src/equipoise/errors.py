"""The errors and warnings of the package; each says what came, what was expected, what to do."""

from __future__ import annotations


class EquipoiseError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(EquipoiseError, ValueError):
    """Wrong use: an unknown option, method or study key."""

    exit_code = 2


class DataError(EquipoiseError, ValueError):
    """The data are not what the call needs."""

    exit_code = 3


class ShapeError(DataError):
    """An array has the wrong shape."""


class SchemaVersionError(DataError):
    """A file was written by an unknown version of its schema."""


class LeakageError(DataError):
    """A row would be used both to decide and to judge the decision."""


class InfeasibleSplitError(DataError):
    """The requested split cannot hold its promises on these labels."""


class TrainingError(EquipoiseError, RuntimeError):
    """Training could not go on, for example because the loss became NaN."""


class NotRecoverableError(EquipoiseError, ValueError):
    """No true probability can be recovered from the outputs of this loss."""


class MissingExtraError(EquipoiseError, ImportError):
    """An optional dependency is missing; the message names the extra to install.

    Args:
        package: What is not installed; alone, the whole message, as from another process.
        extra: Of this package.
        what: What needs it.
    """

    exit_code = 2

    def __init__(self, package: str, extra: str | None = None, what: str | None = None) -> None:
        told = (
            f"{what} needs the package `{package}`, which is not installed. "
            f'Install it with: pip install "equipoise[{extra}]"'
        )
        super().__init__(package if extra is None else told)


class Terminated(KeyboardInterrupt):
    """SIGTERM came: an interruption from outside, which ends what Ctrl-C would."""


class DataWarning(UserWarning):
    """Data were read in a way that somebody should look at: the message says which."""


class NoSkillWarning(UserWarning):
    """What was trained ranks validation rows no better than chance."""


class NoEffectWarning(UserWarning):
    """A setting changes nothing on these data."""


class DoubleCorrectionWarning(UserWarning):
    """Loss and sampler both move the same class or label the same way; their effects multiply."""
