"""NVML's field values: several figures of one GPU by one call."""

import time
from collections.abc import Sequence
from operator import mul
from typing import Any, NamedTuple

from llem.domain.sensing import ChannelKind
from llem.sensors.base import Call
from llem.sensors.nvml_call import field_call

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
        self._asked = field_call(nvml, handle, [field.number for field in fields])
        self._channels = tuple(f"nvml/{uuid}/{field.name}" for field in fields)
        self._units = [field.unit for field in fields]
        self._errors = errors

    def read(self) -> Call:
        """Return one value per field, in the channel's unit."""
        before_ns = time.monotonic_ns()
        try:
            self._asked.ask()
        except self._errors as error:
            after_ns, lost = time.monotonic_ns(), len(self._channels)
            return Call(self._channels, before_ns, after_ns, [None] * lost, [str(error)] * lost)
        after_ns = time.monotonic_ns()
        codes, raw = self._asked.told()
        values = list(map(mul, raw, self._units))
        if not any(codes):
            return Call(self._channels, before_ns, after_ns, values)
        reasons = [str(self._nvml.NVMLError(code)) if code else None for code in codes]
        kept = [None if code else value for code, value in zip(codes, values, strict=True)]
        return Call(self._channels, before_ns, after_ns, kept, reasons)


def supported(
    nvml: Any, handle: Any, driver: str | None, errors: tuple[type[Exception], ...]
) -> tuple[list[Field], list[Field]]:
    """Return the fields of energy and power, and those of throttling, that this GPU and this driver tell.

    The call is asked, and never the architecture.
    """
    wanted = [*((field,) for field in FAST), *THROTTLE]
    asked = [field for choices in wanted for field in choices if _means_that(field, driver)]
    told = FieldValues(nvml, handle, asked, "", errors).read().values
    works = {field.number for field, value in zip(asked, told, strict=True) if value is not None}
    chosen = [next((field for field in choices if field.number in works), None) for choices in wanted]
    found = [field for field in chosen if field is not None]
    return [field for field in found if field in FAST], [field for field in found if field not in FAST]


def _means_that(field: Field, driver: str | None) -> bool:
    major = (driver or "").partition(".")[0]
    return field.number < RENUMBERED or not (major.isdigit() and int(major) < NUMBERED_SINCE)
