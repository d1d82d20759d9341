"""The environment that transformers is imported in."""

import pytest

from llem.engines import ENGINES
from llem.engines.transformers import environment

HUB = {
    "HF_HUB_OFFLINE": "",
    "HF_ENDPOINT": "",
    "HTTPS_PROXY": "",
    "https_proxy": "",
    "ALL_PROXY": "",
    "all_proxy": "",
}


@pytest.fixture
def asked(make, monkeypatch, tmp_path):
    """Return a function from a model and variables to whether transformers is offline, and which hosts were asked."""

    def of(model, variables=None, *, answers=True, trial=None):
        for name, value in {**HUB, **(variables or {})}.items():
            monkeypatch.setenv(name, value)
        hosts = []

        def ask(host, port):
            hosts.append((host, port))
            return answers

        config = make.config(model=model, environment=trial or {})
        return environment(config, tmp_path, ask).get("HF_HUB_OFFLINE") == "1", hosts

    return of


def test_a_model_that_is_not_of_the_hub_needs_no_network_and_asks_nobody(asked, tmp_path):
    (tmp_path / "model").mkdir()
    assert asked({"config": "llama"}) == (True, [])
    assert asked("./model") == (True, [])


def test_a_hub_model_is_offline_only_where_the_hub_does_not_answer(asked):
    assert asked("gpt2") == (False, [("huggingface.co", 443)])
    assert asked("gpt2", answers=False) == (True, [("huggingface.co", 443)])
    assert asked("gpt2", {"HF_ENDPOINT": "http://mirror:81"}) == (False, [("mirror", 81)])
    assert asked("gpt2", {"HTTPS_PROXY": "http://proxy"}, answers=False) == (False, [])


def test_who_says_offline_is_offline_in_the_environment_or_in_the_trial(asked):
    assert asked("gpt2", {"HF_HUB_OFFLINE": "1"}) == (True, [])
    assert asked("gpt2", trial={"HF_HUB_OFFLINE": "1"}) == (True, [])


@pytest.mark.parametrize("entry", ENGINES.values(), ids=ENGINES)
def test_what_is_set_before_the_import_is_not_known_to_be_obeyed_later(entry, make, tmp_path):
    early = entry.environment(make.config(), tmp_path, lambda host, port: False)
    assert set(early) - entry.late_variables
    assert "OMP_NUM_THREADS" not in entry.late_variables
