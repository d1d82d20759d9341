"""What a device is called, so that the sensor that reads it is found."""


def gpu_name(uuid: str, *, rocm: bool) -> str:
    """Return a GPU's lasting name, as NVML and ROCm write it.

    HIP keeps 16 hexadecimal digits as text in the 16 bytes of a UUID, and torch writes out the bytes: the digits are
    the name that rocminfo shows, and the serial of the chip in AMD's library.

    Args:
        uuid: What torch says, in the form of a UUID.
        rocm: Whether this torch is built for ROCm.
    """
    if not rocm:
        return f"GPU-{uuid}"
    try:
        digits = bytes.fromhex(uuid.replace("-", "")).decode("ascii").lower()
        return f"GPU-{int(digits, 16):016x}"
    except ValueError:
        return f"GPU-{uuid}"
