"""What a failed attempt says about: its configuration, which will fail again, or its environment, which may not."""

import re
from typing import Literal

Cause = Literal["environment", "configuration"]

CAUSES: dict[str, Cause] = {
    # The worker never spoke, fell silent, or was gone without a word.
    "WorkerNotStarted": "environment",
    "WorkerExitedWithoutResult": "environment",
    "WorkerKilled": "environment",
    "WorkerClosedPipe": "environment",
    "TornMessage": "environment",
    "ZygoteDied": "environment",
    "StartTimeout": "environment",
    "LoadTimeout": "environment",
    "WarmupTimeout": "environment",
    "MeasurementTimeout": "environment",
    "SilenceTimeout": "environment",
    "TrialTimeout": "environment",
    # What was there before it.
    "DeviceNotClean": "environment",
    # The worker spoke, and what it said cannot be: the program is wrong, and will say it again.
    "InvalidMessage": "configuration",
    "MessageTooLarge": "configuration",
    "ProtocolViolation": "configuration",
    "ImplausibleResult": "configuration",
    # The worker told what it cannot do.
    "OutOfMemory": "configuration",
    "ContextTooLong": "configuration",
    "DeviceUnavailable": "configuration",
    "DeviceUnknown": "configuration",
    "ModelNotAvailable": "configuration",
    "ModelNotLoaded": "configuration",
    "PromptTooShort": "configuration",
    "PromptsChanged": "configuration",
    "PromptsInvalid": "configuration",
    "PromptsNotFound": "configuration",
    "PromptsTooFew": "configuration",
    "RemoteCodeRefused": "configuration",
    "UnknownArchitecture": "configuration",
    "VocabularyTooSmall": "configuration",
    "WeightsRefused": "configuration",
}
"""What each error type of llem's own is about. Any other is an exception that the worker told: its configuration."""

HARDWARE = re.compile(
    r"\bxid\b|\becc error|unspecified launch failure|hardware stack error|fallen off the bus|\bgpu is lost\b"
    r"|launch timed out|devices? (?:are|is) busy or unavailable|cuda unknown error|system not yet initialized"
    r"|driver/library version mismatch|driver shutting down|input/output error|stale file handle"
    r"|no space left on device|disk quota exceeded|read-only file system",
    re.IGNORECASE,
)
"""Words by which drivers and the kernel tell of hardware and disks, whatever exception they come in."""


def cause_of(error_type: str, error_message: str) -> Cause:
    """Return what a failed attempt says about.

    Args:
        error_type: Of ``experiment_failed``.
        error_message: Of ``experiment_failed``.
    """
    cause = CAUSES.get(error_type, "configuration")
    # What needs too much memory says nothing about the hardware, whatever else its message quotes.
    if error_type != "OutOfMemory" and HARDWARE.search(error_message):
        return "environment"
    return cause
