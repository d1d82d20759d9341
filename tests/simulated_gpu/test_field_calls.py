"""Field values past pynvml are those that pynvml gives, whatever a driver answers."""

from collections.abc import Sequence
from struct import Struct
from typing import Any

import pytest
from simulated_gpu import GPU_IS_LOST, SimulatedDevice

from llem.sensors.nvml_call import DirectCall, WrappedCall, field_call

NUMBERS = (83, 186, 185, 74, 269, 270, 271, 77, 79, 555)
VALUE = Struct("=IIqqII8s")


class Lost(Exception):  # noqa: N818 - speaks as NVMLError does
    pass


class FakeDriver:
    """A driver's function that answers each field with what the test says: (type, code, bytes), or with nothing."""

    def __init__(self, *answers: tuple[int, int, bytes] | None) -> None:
        self.answers = answers

    def __call__(self, handle: Any, count: Any, pointer: Any) -> int:
        array = pointer._obj
        for n, answer in zip(range(count.value), self.answers, strict=True):
            if answer is not None:
                number = VALUE.unpack_from(array, n * VALUE.size)[0]
                VALUE.pack_into(array, n * VALUE.size, number, 0, 1, 2, *answer)
        return 0


def told(*answers: tuple[int, int, bytes] | None) -> tuple[Sequence[int], Sequence[float]]:
    call = DirectCall(FakeDriver(*answers), Lost, None, range(len(answers)))
    call.ask()
    return call.told()


def test_the_real_library_is_called_directly_and_tells_what_pynvml_tells(gpus: Any) -> None:
    handle = gpus.use(SimulatedDevice(unsupported=("field_185",), throttles=(("sw_power_cap", 0.5),)))
    direct, wrapped = field_call(gpus.nvml, handle, NUMBERS), WrappedCall(gpus.nvml, handle, NUMBERS)
    assert isinstance(direct, DirectCall)
    for at_s in (1.05, 2.05, 3.05):
        gpus.at(at_s)
        direct.ask()
        wrapped.ask()
        codes, values = direct.told()
        assert tuple(codes) == tuple(wrapped.told()[0])
        assert [value for code, value in zip(codes, values, strict=True) if not code] == [
            value for code, value in zip(*wrapped.told(), strict=True) if not code
        ]
    assert {number for number, code in zip(NUMBERS, codes, strict=True) if code} == {185, 555}


def test_a_gpu_that_is_lost_raises_what_pynvml_raises(gpus: Any) -> None:
    handle = gpus.use(SimulatedDevice(lost_s=2.0))
    direct = field_call(gpus.nvml, handle, NUMBERS)
    direct.ask()
    gpus.at(3.0)
    with pytest.raises(gpus.nvml.NVMLError) as raised:
        direct.ask()
    assert raised.value.value == GPU_IS_LOST


def test_a_module_without_a_library_is_asked_itself() -> None:
    assert isinstance(field_call(object(), None, NUMBERS), WrappedCall)


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (0, Struct("=d").pack(1.5), 1.5),
        (1, Struct("=II").pack(2**32 - 1, 7), 2**32 - 1),
        (2, Struct("=Q").pack(2**64 - 1), 2**64 - 1),
        (3, Struct("=Q").pack(2**64 - 1), 2**64 - 1),
        (4, Struct("=q").pack(-5), -5),
        (5, Struct("=iI").pack(-5, 7), -5),
        (6, Struct("=HHI").pack(9, 7, 7), 9),
    ],
)
def test_each_type_of_value_is_read_as_it_is_and_what_lies_beside_it_is_not(
    kind: int, written: bytes, value: float
) -> None:
    assert told((kind, 0, written), (3, 0, bytes(8))) == ((0, 0), (value, 0))


def test_a_field_that_a_driver_leaves_as_it_was_is_no_value() -> None:
    driver = FakeDriver((3, 0, bytes(8)), (3, 0, bytes(8)))
    call = DirectCall(driver, Lost, None, (83, 186))
    call.ask()
    assert call.told()[0] == (0, 0)
    driver.answers = ((3, 0, bytes(8)), None)
    call.ask()
    assert call.told()[0] == (0, 999)


def test_a_type_that_is_not_known_is_no_value() -> None:
    assert told((3, 0, bytes(8)), (7, 0, b"\1" * 8), (7, 3, b"\1" * 8))[0] == (0, 999, 3)
