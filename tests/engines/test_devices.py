import pytest

from llem.engines.devices import gpu_name


@pytest.mark.parametrize(
    ("uuid", "rocm", "name"),
    [
        ("ffc79498-8ff3-c2dc-3b0d-fafd804516ae", False, "GPU-ffc79498-8ff3-c2dc-3b0d-fafd804516ae"),
        # The text 668529bc9f563d56, byte by byte, as torch for ROCm writes it.
        ("36363835-3239-6263-3966-353633643536", True, "GPU-668529bc9f563d56"),
        ("36363835-3239-6263-3966-353633643536", False, "GPU-36363835-3239-6263-3966-353633643536"),
        ("ffc79498-8ff3-c2dc-3b0d-fafd804516ae", True, "GPU-ffc79498-8ff3-c2dc-3b0d-fafd804516ae"),
        ("00000000-0000-0000-0000-000000000000", True, "GPU-00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_gpu_is_called_as_its_sensor_calls_it(uuid, rocm, name):
    assert gpu_name(uuid, rocm=rocm) == name
