"""The one way from a measurement and its raw edges to figures: what an attempt writes is what is recomputed."""

from collections.abc import Sequence

from llem.domain.baseline import BaselinePower
from llem.domain.checked import checked_channels
from llem.domain.figures import Evaluation, evaluate
from llem.domain.measured import Measured
from llem.domain.sensing import Device, read_by
from llem.domain.sensor_check import SensorCheck
from llem.domain.spec import ExperimentConfig
from llem.sensors.samples import Samples


def evaluated(
    config: ExperimentConfig,
    measured: Measured,
    samples: Samples | None,
    unrecorded: str | None,
    *,
    check: SensorCheck | None = None,
    bare: Sequence[BaselinePower] | None = None,
    devices: Sequence[Device] = (),
) -> Evaluation:
    """Return the figures of one trial.

    Args:
        config: What was planned.
        measured: What the worker measured.
        samples: What the sensors said; None where nothing was recorded …
        unrecorded: … and why.
        check: What the sensor check found; None where there was none.
        bare: The idle power of the bare devices; None where it was not measured.
        devices: What the sensors said of the devices when the session started.

    Raises:
        ArithmeticError: The numbers are beyond arithmetic.
        ValueError: The figures are none that a result can hold.
    """
    channels = read_by(config.measurement.sensors, samples.channels) if samples else []
    return evaluate(
        config,
        measured,
        checked_channels(channels, check),
        samples.edges if samples else {},
        failures=samples.failures if samples else {},
        unrecorded=unrecorded,
        check=check,
        bare=bare or (),
        devices=devices,
    )
