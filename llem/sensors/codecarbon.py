"""What no meter sees: CodeCarbon's model of processor and memory. Always marked as modelled."""

import logging
import time
from typing import Any

from llem.domain.errors import SensorError
from llem.domain.sensing import Channel, Device
from llem.sensors.base import Reading

KWH_J = 3.6e6
CPU = "codecarbon/cpu/energy"
RAM = "codecarbon/ram/energy"


class CodeCarbonSensor:
    """CodeCarbon's offline tracker, read as two cumulative energies.

    Without RAPL its processor figure is load × a rated power, and memory is a constant per guessed module:
    models, off by up to 40 % (arXiv 2509.22092). It never enters a measured total. Its GPU figure is left
    out, since it is 0 J where ``nvidia-smi`` is missing. It writes no file, opens no socket, prints nothing
    and leaves signal handlers alone.
    """

    period_s = 0.5

    def __init__(self) -> None:
        logging.getLogger("codecarbon").disabled = True
        try:
            from codecarbon import OfflineEmissionsTracker
            from codecarbon.output_methods.base_output import BaseOutput
        except ImportError as error:
            raise SensorError(f"CodeCarbon cannot be imported: {error}.", remedy="`pip install codecarbon`") from None
        self._totals = _Totals()
        self._tracker = OfflineEmissionsTracker(
            # The offline tracker insists on a country; only joules are read, never its carbon figure.
            country_iso_code="FRA",
            # Each said aloud: a user's own CodeCarbon configuration must not make it write or send anything.
            save_to_file=False,
            save_to_api=False,
            save_to_logger=False,
            save_to_prometheus=False,
            save_to_logfire=False,
            emissions_endpoint=None,
            allow_multiple_runs=True,
            measure_power_secs=3600,  # it measures when it is asked, in `read`
            log_level="critical",
            tracking_mode="machine",
            gpu_ids=[],
            output_handlers=[_handler(BaseOutput, self._totals)],
        )
        self._tracker.start()
        self._tracker.flush()
        if self._totals.cpu_j is None:
            raise SensorError("CodeCarbon's tracker gives no figure.", remedy="Leave `codecarbon` out of `sensors`.")
        hardware = self._tracker.get_detected_hardware()
        note = "CodeCarbon: processor load times a rated power; memory a constant per module"
        self.channels: tuple[Channel, ...] = (_channel(CPU, "cpu", note), _channel(RAM, "ram", note))
        self.devices: tuple[Device, ...] = (
            Device(
                id="codecarbon",
                name=str(hardware.get("cpu_model")),
                facts={
                    "cpu_count": hardware.get("cpu_count"),
                    "ram_total_gib": round(float(hardware.get("ram_total_size") or 0), 1),
                },
            ),
        )

    def read(self) -> list[Reading]:
        """Return the modelled energies so far, in joules."""
        before_ns = time.monotonic_ns()
        self._tracker.flush()
        after_ns = time.monotonic_ns()
        return [
            Reading(CPU, before_ns, after_ns, self._totals.cpu_j),
            Reading(RAM, before_ns, after_ns, self._totals.ram_j),
        ]

    def close(self) -> None:
        """Stop the tracker and its threads."""
        self._tracker.stop()


class _Totals:
    """The last cumulative energies that CodeCarbon handed out, in joules."""

    cpu_j: float | None = None
    ram_j: float | None = None


def _handler(base: type[Any], totals: _Totals) -> Any:
    """Return an output handler that keeps the cumulative energies; ``base`` is known only after the import."""

    class KeepTotals(base):  # type: ignore[misc]
        def out(self, total: Any, delta: Any) -> None:
            totals.cpu_j = total.cpu_energy * KWH_J
            totals.ram_j = total.ram_energy * KWH_J

    return KeepTotals()


def _channel(channel: str, boundary: str, note: str) -> Channel:
    return Channel(
        id=channel,
        sensor="codecarbon",
        device="codecarbon",
        boundary=boundary,
        kind="energy_j",
        provenance="modelled",
        note=note,
    )
