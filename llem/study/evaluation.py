"""The one way from a measurement and its raw edges to figures: what an attempt writes is what is recomputed."""

from collections.abc import Sequence

from llem.domain.baseline import BaselinePower
from llem.domain.checked import checked_channels
from llem.domain.figures import Evaluation, evaluate
from llem.domain.result import Measured
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
) -> Evaluation:
    """Return the figures of one trial.

    Args:
        config: What was planned.
        measured: What the worker measured.
        samples: What the sensors said; None where nothing was recorded …
        unrecorded: … and why.
        check: What the sensor check found; None where there was none.
        bare: The idle power of the bare devices; None where it was not measured.

    Raises:
        ArithmeticError: The numbers are beyond arithmetic.
        ValueError: The figures are none that a result can hold.
    """
    # The recorder reads every sensor that any experiment of the study asks for.
    asked = config.measurement.sensors
    channels = [
        channel
        for channel in (samples.channels if samples else ())
        if channel.measures_energy and (asked == "auto" or channel.sensor in asked)
    ]
    return evaluate(
        config,
        measured,
        checked_channels(channels, check),
        samples.edges if samples else {},
        failures=samples.failures if samples else {},
        unrecorded=unrecorded,
    )
