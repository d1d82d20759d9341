import io

import pytest
from rich.console import Console

from llem.cli.closing import print_experiments
from llem.domain.statistics import MeanWithInterval
from llem.projections.results import ExperimentSummary


def summary(attention):
    return ExperimentSummary(
        config_hash="0" * 64,
        config_summary={"batch_size": 1, "transformers.attn_implementation": attention},
        cycles=3,
        n_valid=3,
        n_invalid=0,
        provenance="modelled",
        boundary="cpu+ram",
        energy_per_output_token_j=MeanWithInterval(mean=0.0379, n=3, half_width=0.006),
        energy_reason=None,
        output_tokens_per_s=MeanWithInterval(mean=714.0, n=3, half_width=63.0),
        ttft_p50_s=MeanWithInterval(mean=0.00567, n=3, half_width=0.00022),
        peak_memory_bytes=377 << 20,
    )


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (140, ["output tokens/s", "TTFT", "377 MiB", "modelled (cpu+ram)"], []),
        (120, ["output tokens/s", "modelled (cpu+ram)"], ["377 MiB"]),
        (100, ["output tokens/s"], ["TTFT", "377 MiB", "modelled (cpu+ram)"]),
        (80, ["output tokens/s"], ["TTFT", "377 MiB", "modelled (cpu+ram)"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_every_figure_whole(width, shown, left_out):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_experiments(console, [summary("eager"), summary("sdpa")])
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("~37.9 ± 6.0 mJ") == text.count("714 ± 63") == 2
    assert "…" not in text
    assert [word for word in (*shown, *left_out) if word in text] == shown
