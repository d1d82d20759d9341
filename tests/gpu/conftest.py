"""Tests on a real GPU take part only where there is one: elsewhere they are deselected, and pytest says so."""

import pytest


def real_gpus() -> int:
    """Return how many GPUs the NVIDIA driver of this machine shows."""
    import pynvml

    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return 0
    return count


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not real_gpus():
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]
