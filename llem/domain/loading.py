"""What a load generator tells: which devices it kept at work, and when."""

from pydantic import model_validator

from llem.domain.model import Value


class Load(Value):
    """Its one message.

    Attributes:
        devices: The devices that worked all the time, by their lasting names; empty with ``reason``.
        start_ns: From when on, in nanoseconds of the monotonic clock …
        end_ns: … and until when.
        name: What they did.
        reason: Why none did.
    """

    devices: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    name: str | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _worked_or_says_why(self) -> "Load":
        told = self.start_ns is not None and self.end_ns is not None and self.name and self.devices
        if not told and not self.reason:
            raise ValueError("neither devices, name, start_ns and end_ns, nor a reason")
        if self.start_ns is not None and self.end_ns is not None and self.start_ns > self.end_ns:
            raise ValueError("start_ns <= end_ns does not hold")
        return self

    @property
    def interval(self) -> tuple[int, int] | None:
        """Return start and end of the work; None where there was none."""
        if self.reason or self.start_ns is None or self.end_ns is None:
            return None
        return self.start_ns, self.end_ns
