"""What can go wrong, each with a message for the user: the thing, what is wrong with it, what to do."""

from textwrap import shorten

LONGEST = 300
"""Characters of a line that heads others, and of what it heads: some list every weight of a model."""


def first_line(error: BaseException) -> str:
    """An error's message without the advice and the trace behind it; a line that heads others (":") with the one it heads."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return shorten(" ".join(lines[:2]), LONGEST, placeholder=" ...") if lines[0].endswith(":") else lines[0]


class MedrivalError(Exception):
    """An expected failure. It is shown as its message alone; other cases go on."""


class UnknownName(MedrivalError):
    """A model, task, regime or suite that no catalog has."""


class BrokenCatalog(MedrivalError):
    """A catalog file or row that cannot be used."""


class MissingAsset(MedrivalError):
    """Weights or data that are not on this machine. The case is skipped, or fails under --strict-assets."""


class BrokenModel(MedrivalError):
    """A directory that holds no model, or a checkpoint that does not load."""


class BrokenData(MedrivalError):
    """A data file that does not have the layout its loader expects."""


class UnreadableImage(MedrivalError):
    """One image that cannot be decoded. The sample counts as wrong and is listed."""


class MissingDevice(MedrivalError):
    """A device that this machine does not have, or has not free."""


class AdaptationFailed(MedrivalError):
    """A regime that could not adapt the model: no gradient, a diverged loss, nothing to train on."""


class OutOfMemory(MedrivalError):
    """The case does not fit into memory, even one sample at a time."""


class ReportNotWritten(MedrivalError):
    """The report folder cannot be written. What was measured stays in the store."""


class BrokenGates(MedrivalError):
    """A gate file that cannot be used."""


class BrokenLock(MedrivalError):
    """A lock file that cannot be used, or a model that is not what it says."""


class BrokenBaseline(MedrivalError):
    """A report of an earlier run that is missing, damaged or incomplete."""


class BrokenReport(MedrivalError):
    """A report folder cannot be read back."""


class BrokenShard(MedrivalError):
    """Reports of shards that are missing, damaged, or not of one run."""


class Recorded(MedrivalError):
    """What a shard said of a case that it could not measure, told again where shards are merged."""


class GateFailed(MedrivalError):
    """What was measured breaks a rule of --gate. The case stays measured."""


class MedrivalWarning(UserWarning):
    """Something the user should know that changes no number."""
