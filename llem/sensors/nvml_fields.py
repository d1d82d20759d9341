"""NVML's field values: several figures of one GPU by one call."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from llem.domain.sensing import ChannelKind
from llem.sensors.base import Reading

MILLI = 1e-3


class Field(NamedTuple):
    """One field of NVML, and the channel that it makes.

    The numbers are those of ``nvml.h`` (``NVML_FI_DEV_…``). ``unit`` is what one is in the channel's unit.
    """

    number: int
    name: str
    kind: ChannelKind
    unit: float
    aspect: str | None = None
    averages_over_s: float | None = None


ENERGY = Field(83, "energy", "energy_j", MILLI)
INSTANT = Field(186, "power_instant", "power_w", MILLI, "instant", 0.0)
AVERAGE = Field(185, "power_average", "power_w", MILLI, "average", 1.0)
FAST = (ENERGY, INSTANT, AVERAGE)

THROTTLE: tuple[tuple[Field, ...], ...] = (
    (Field(74, "throttle_power_cap", "throttle_ns", 1.0, "power_cap"),),
    # 75, the older number of the thermal policy, where a driver has not the newer one.
    (
        Field(269, "throttle_sw_thermal", "throttle_ns", 1.0, "sw_thermal"),
        Field(75, "throttle_sw_thermal", "throttle_ns", 1.0, "sw_thermal"),
    ),
    (Field(270, "throttle_hw_thermal", "throttle_ns", 1.0, "hw_thermal"),),
    (Field(271, "throttle_power_brake", "throttle_ns", 1.0, "power_brake"),),
    (Field(77, "throttle_board_limit", "throttle_ns", 1.0, "board_limit"),),
    (Field(79, "throttle_reliability", "throttle_ns", 1.0, "reliability"),),
)
"""Cumulative times, each by the first of its numbers that a device supports.

The times of a policy are nanoseconds, as those of ``nvmlDeviceGetViolationStatus`` (``nvmlViolationTime_t`` in
``nvml.h``). Numbers from 251 on were given anew in ``nvml.h`` between CUDA 12.8 and 13.0: a driver before R580 is not
asked for 269 to 271, which may be figures of another kind there.
"""
RENUMBERED = 251
NUMBERED_SINCE = 580
_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Where a value lies, by ``nvmlValueType_t``."""


class FieldValues:
    """Some fields of one GPU, read together.

    Args:
        nvml: The ``pynvml`` module.
        handle: The GPU.
        fields: What to read.
        uuid: The GPU's UUID.
        errors: What NVML's calls raise.
    """

    def __init__(
        self, nvml: Any, handle: Any, fields: Sequence[Field], uuid: str, errors: tuple[type[Exception], ...]
    ) -> None:
        self._nvml = nvml
        self._handle = handle
        self._numbers = [field.number for field in fields]
        self._channels = [(f"nvml/{uuid}/{field.name}", field.unit) for field in fields]
        self._errors = errors

    def read(self) -> list[Reading]:
        """Return one reading per field, in the channel's unit; all of one call."""
        before_ns = time.monotonic_ns()
        try:
            told = self._nvml.nvmlDeviceGetFieldValues(self._handle, self._numbers)
        except self._errors as error:
            after_ns, reason = time.monotonic_ns(), str(error)
            return [Reading(channel, before_ns, after_ns, None, reason) for channel, _ in self._channels]
        after_ns = time.monotonic_ns()
        readings = []
        for (channel, unit), found in zip(self._channels, told, strict=True):
            if found.nvmlReturn:
                reason = str(self._nvml.NVMLError(found.nvmlReturn))
                readings.append(Reading(channel, before_ns, after_ns, None, reason))
            else:
                value = getattr(found.value, _MEMBERS[found.valueType])
                readings.append(Reading(channel, before_ns, after_ns, value * unit))
        return readings


def supported(
    nvml: Any, handle: Any, driver: str | None, errors: tuple[type[Exception], ...]
) -> tuple[list[Field], list[Field]]:
    """Return the fields of energy and power, and those of throttling, that this GPU and this driver tell.

    The call is asked, and never the architecture.
    """
    wanted = [*((field,) for field in FAST), *THROTTLE]
    asked = [field for choices in wanted for field in choices if _means_that(field, driver)]
    told = FieldValues(nvml, handle, asked, "", errors).read()
    works = {field.number for field, reading in zip(asked, told, strict=True) if reading.value is not None}
    chosen = [next((field for field in choices if field.number in works), None) for choices in wanted]
    found = [field for field in chosen if field is not None]
    return [field for field in found if field in FAST], [field for field in found if field not in FAST]


def _means_that(field: Field, driver: str | None) -> bool:
    major = (driver or "").partition(".")[0]
    return field.number < RENUMBERED or not (major.isdigit() and int(major) < NUMBERED_SINCE)
