import io

import pytest
from rich.console import Console

from llem.cli.results import carbon_lines, comparison_lines, print_experiments, print_results, stated_lines
from llem.cli.words import comparison_text, stated_text
from llem.domain.carbon import CarbonFactor, Emissions
from llem.domain.comparisons import Comparison
from llem.domain.statistics import EnergyMean, MeanWithInterval
from llem.domain.study_result import ExperimentSummary, StudyResult


def energy(mean, half_width=None, n=5, u_scale=None):
    return EnergyMean(
        mean=mean, n=n, sd=None, half_width=half_width, within_sd=None, between_sd=None, u_scale=u_scale
    )


def mean(value, half_width):
    return MeanWithInterval(mean=value, n=3, sd=None, half_width=half_width)


def summary(attention, **changes):
    whole = ExperimentSummary(
        config_hash=attention,
        config_summary={"batch_size": 1, "transformers.attn_implementation": attention},
        cycles=3,
        n_valid=3,
        n_invalid=0,
        invalid_cycles=(),
        provenance="modelled",
        boundary="cpu+ram",
        energy_per_output_token_j=energy(0.0379, 0.006, n=3),
        energy_per_token_j=None,
        energy_per_request_j=None,
        energy_reason=None,
        output_tokens_per_s=mean(714.0, 63.0),
        ttft_p50_s=mean(0.00567, 0.00022),
        itl_p50_s=None,
        peak_memory_bytes=377 << 20,
        peak_memory_mean_bytes=None,
        unknown={},
    )
    return whole.model_copy(update=changes)


def result(*experiments, comparisons=()):
    return StudyResult(
        study_name="s",
        study_design_hash="d",
        llem_version="0.1",
        journal_seq=1,
        journal_hash="h",
        experiments=experiments,
        comparisons=comparisons,
    )


def compared(name, **changes):
    fields = {"n_cycles": 5, "ratio": 0.712, "low": 0.6901, "high": 0.7349, "p": 0.0001, "p_holm": 0.00042}
    return Comparison(config_hash=name, reference_hash="eager", **{**fields, "distinguishable": True, **changes})


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
    print_experiments(console, (summary("eager"), summary("sdpa")))
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("~37.9 ± 6.0 mJ") == text.count("714 ± 63") == 2
    assert "…" not in text
    assert [word for word in (*shown, *left_out) if word in text] == shown


@pytest.mark.parametrize(
    ("value", "provenance", "text"),
    [
        (
            energy(1.234, 0.012, u_scale=0.0703),
            "counter",
            "1.234 J/token ± 0.012 (95 %, n = 5, t); scale ± 0.07 (board)",
        ),
        (energy(1.234, 0.012), "counter", "1.234 J/token ± 0.012 (95 %, n = 5, t)"),
        (energy(0.0379, 0.006, n=3), "modelled", "~37.9 mJ/token ± 6.0 (95 %, n = 3, t)"),
        (energy(0.5, n=1, u_scale=0.025), "sampled", "500 mJ/token (n = 1); scale ± 25 (board)"),
        (
            energy(0.9994, 0.0, u_scale=0.12),
            "counter",
            "999.400 mJ/token ± 0.000 (95 %, n = 5, t); scale ± 120 (board)",
        ),
    ],
)
def test_an_energy_as_it_is_cited(value, provenance, text):
    assert stated_text(value, "token", provenance) == text


@pytest.mark.parametrize(
    ("comparison", "provenance", "text"),
    [
        (compared("b"), "counter", "0.712 × (0.690 to 0.735, n = 5, p = 0.00042)"),
        (compared("b"), "modelled", "~0.712 × (0.690 to 0.735, n = 5, p = 0.00042)"),
        (compared("b", p_holm=1e-9), "counter", "0.712 × (0.690 to 0.735, n = 5, p < 0.0001)"),
        (
            compared("b", ratio=1.01, low=0.98, high=1.04, p_holm=0.6, distinguishable=False),
            "counter",
            "1.010 × (0.980 to 1.040, n = 5, p = 0.6): not distinguishable",
        ),
        (
            compared("b", ratio=None, p_holm=None, reason="its energy is unknown"),
            "none",
            "not compared: its energy is unknown",
        ),
    ],
)
def test_a_comparison_in_words(comparison, provenance, text):
    assert comparison_text(comparison, provenance) == text


def test_a_small_study_states_its_energies_where_they_fit():
    two = result(summary("eager"), summary("sdpa"))
    assert [line.partition(": ")[2] for line in stated_lines(two, 120)] == [
        "~37.9 mJ/token ± 6.0 (95 %, n = 3, t)"
    ] * 2
    assert stated_lines(two, 70) == []
    assert stated_lines(result(*(summary(str(number)) for number in range(4))), 120) == []


def test_what_is_below_the_table_says_what_the_signs_mean_and_why_an_energy_is_unknown():
    measured = summary("a", provenance="counter", energy_per_output_token_j=energy(1.0, 0.1, u_scale=0.05))
    unknown = summary("b", energy_per_output_token_j=None, energy_reason="no sensor")
    console = Console(width=140, file=io.StringIO(), force_terminal=False)
    print_results(console, result(measured, unknown, unknown))
    text = console.file.getvalue()
    assert "± is the 95 % interval" in text
    assert text.count("Energy unknown: no sensor") == 1
    assert "Not in ±: the scale of the board, ± 5.0%, which cancels in ratios on one board." in text
    assert "1.00 J/token ± 0.10 (95 %, n = 5, t); scale ± 0.05 (board)" in text
    assert "beside" not in text


def test_comparisons_are_a_block_of_ten_lines_at_most():
    names = ["eager", *(f"e{number}" for number in range(20))]
    lines = comparison_lines(result(*map(summary, names), comparisons=tuple(map(compared, names[1:]))))
    assert len(lines) == 10
    assert "beside batch_size=1 attn_implementation=eager" in lines[0]
    assert "Holm over 20 comparisons" in lines[0]
    assert lines[1].endswith("attn_implementation=e0: ~0.712 × (0.690 to 0.735, n = 5, p = 0.00042)")
    assert lines[-1] == "  … and 12 more comparisons: results.json"
    assert comparison_lines(result(summary("eager"))) == []


RTE = CarbonFactor(intensity_g_per_kwh=56.039, source="RTE eco2mix, 2025 mean", pue=1.2)


def emitted(provenance):
    figures = {"g_per_output_token": mean(1.234e-6, 0.05e-6), "g_total": 0.000345, "energy_total_j": 18.5}
    return Emissions(**RTE.model_dump(), **figures, provenance=provenance, boundary="gpu")


def test_carbon_is_told_as_declared_and_marked_where_the_energy_is_a_model():
    both = (summary("eager", carbon=emitted("counter")), summary("sdpa", carbon=emitted("modelled")))
    assert carbon_lines(result(*both).model_copy(update={"carbon": RTE})) == [
        "Carbon as declared, 56.039 g CO₂eq/kWh (RTE eco2mix, 2025 mean), PUE 1.2:",
        "  batch_size=1 attn_implementation=eager: 1.234 ± 0.050 µg per output token; 345 µg in 3 valid cycles",
        "  batch_size=1 attn_implementation=sdpa: ~1.234 ± 0.050 µg per output token; ~345 µg in 3 valid cycles",
    ]


def test_the_carbon_of_many_experiments_is_one_line_and_that_of_none_too():
    alone = RTE.model_copy(update={"pue": 1.0})
    told = "Carbon as declared, 56.039 g CO₂eq/kWh (RTE eco2mix, 2025 mean), PUE 1 (the energy's boundary alone)"
    many = [summary(str(number), carbon=emitted("counter")) for number in range(4)]
    assert carbon_lines(result(*many).model_copy(update={"carbon": alone})) == [
        f"{told}: results.json has the figures."
    ]
    assert carbon_lines(result(summary("eager")).model_copy(update={"carbon": alone})) == [f"{told}."]
    assert carbon_lines(result(summary("eager"))) == []


def test_a_table_ends_where_nobody_would_read_on_and_says_what_it_leaves_out():
    out = io.StringIO()
    console = Console(file=out, width=200)
    print_results(console, result(*(summary(f"a{number}") for number in range(203))))
    rows = [line for line in out.getvalue().splitlines() if "attn_implementation=a" in line]
    assert len(rows) == 200
    assert "… and 3 more experiments: results.json has them all." in out.getvalue()
