"""The call that gives NVML's field values: through pynvml, or past it where its library is at hand."""

import ctypes
from collections.abc import Sequence
from struct import Struct
from typing import Any, Protocol

NAME = "nvmlDeviceGetFieldValues"
_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Where a value lies, by ``nvmlValueType_t``."""
_FORMATS = ("d", "I4x", "Q", "Q", "q", "i4x", "H6x")
"""What the eight bytes of a value are, by ``nvmlValueType_t``."""
_UNASKED = Struct("=IIqqIIQ")
"""``nvmlFieldValue_t``: field, scope, time, latency, type, return code, value."""
_UNKNOWN = 999
"""``NVML_ERROR_UNKNOWN``: what a field says that the driver left as it was, or whose type is not known."""


class FieldCall(Protocol):
    """Some fields of one GPU: the call, and apart from it, so that its time is its own, what it told."""

    def ask(self) -> None:
        """Make the call. Raises what NVML's calls raise."""

    def told(self) -> tuple[Sequence[int], Sequence[float]]:
        """Return the code of each field, and its value, which is of no meaning unless the code is 0."""


def field_call(nvml: Any, handle: Any, numbers: Sequence[int]) -> FieldCall:
    """Return the call for these fields: the driver's own where ``nvml`` has its library, else the one of ``nvml``.

    pynvml makes and fills an array of structures anew for each call, and each look at one of them runs Python: that
    costs the recorder more than all else that it does.
    """
    library = getattr(nvml, "nvmlLib", None)
    structure = getattr(nvml, "c_nvmlFieldValue_t", None)
    if isinstance(library, ctypes.CDLL) and structure and ctypes.sizeof(structure) == _UNASKED.size:
        try:
            function = library[NAME]  # by item, it is an object of its own: what pynvml uses stays as it is
        except AttributeError:
            pass  # an old driver: pynvml says so
        else:
            return DirectCall(function, nvml.NVMLError, handle, numbers)
    return WrappedCall(nvml, handle, numbers)


class DirectCall:
    """The driver's function, with one buffer that it fills again and again.

    Args:
        function: ``nvmlDeviceGetFieldValues`` of the library.
        error: Makes what is raised of a code.
        handle: The GPU.
        numbers: The fields.
    """

    def __init__(self, function: Any, error: Any, handle: Any, numbers: Sequence[int]) -> None:
        self._function, self._error, self._handle = function, error, handle
        self._empty = b"".join(_UNASKED.pack(number, 0, 0, 0, 0, _UNKNOWN, 0) for number in numbers)
        self._buffer = bytearray(self._empty)
        self._count = ctypes.c_int(len(numbers))
        self._pointer = ctypes.byref((ctypes.c_char * len(self._empty)).from_buffer(self._buffer))
        self._types: tuple[int, ...] = (0,) * len(numbers)
        self._row = _row(self._types)

    def ask(self) -> None:
        """Fill the buffer."""
        self._buffer[:] = self._empty
        code = self._function(self._handle, self._count, self._pointer)
        if code:
            raise self._error(code)

    def told(self) -> tuple[Sequence[int], Sequence[float]]:
        """Return codes and values in the buffer."""
        row = self._row.unpack_from(self._buffer)
        if row[::3] != self._types:
            self._types = row[::3]
            self._row = _row(self._types)
            row = self._row.unpack_from(self._buffer)
        codes = row[1::3]
        if max(self._types) >= len(_FORMATS):  # of a driver newer than this
            codes = tuple(
                code or _UNKNOWN * (kind >= len(_FORMATS)) for code, kind in zip(codes, row[::3], strict=True)
            )
        return codes, row[2::3]


class WrappedCall:
    """The call of ``pynvml``, or of what speaks as it does."""

    def __init__(self, nvml: Any, handle: Any, numbers: Sequence[int]) -> None:
        self._nvml, self._handle, self._numbers = nvml, handle, list(numbers)
        self._found: Sequence[Any] = ()

    def ask(self) -> None:
        """Keep what the module returns."""
        self._found = self._nvml.nvmlDeviceGetFieldValues(self._handle, self._numbers)

    def told(self) -> tuple[Sequence[int], Sequence[float]]:
        """Return codes and values of what is kept."""
        codes = [found.nvmlReturn for found in self._found]
        values = [0 if found.nvmlReturn else getattr(found.value, _MEMBERS[found.valueType]) for found in self._found]
        return codes, values


def _row(types: Sequence[int]) -> Struct:
    """Return what reads type, code and value of each field, whose values are of these types."""
    return Struct("=" + "".join(f"24xII{_FORMATS[kind] if kind < len(_FORMATS) else 'Q'}" for kind in types))
