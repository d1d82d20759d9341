"""A study's folder is given to others: no secret of who ran it lies in there, and none was on the screen."""

import os
import stat
from typing import Any

import pytest

SECRETS = {"HUB_TOKEN": "9f86d081884c7d659a2f", "OTHER_PASSWORD": "correct horse\tbattery", "PLAIN": "not a secret"}
BEHAVIOURS = ["secret_in_error", "secret_in_log", "secret_on_pipe", "ok"]


@pytest.fixture(scope="module")
def ran(module_lab: Any) -> tuple[Any, str]:
    """Run a study whose workers tell what they know; return it and all that was on the screen."""
    session, study = module_lab.run(module_lab.write(BEHAVIOURS), code=1, env=SECRETS)
    shown = session.out + session.err
    for command in ("log", "status", "verify"):
        words = module_lab.llem("study", command, study.root)
        shown += words.out + words.err
    return study, shown


def test_no_secret_lies_in_the_folder_or_was_shown(ran: tuple[Any, str]) -> None:
    study, shown = ran
    everything = {path: path.read_bytes() for path in study.root.rglob("*") if path.is_file()}
    everything[study.root] = shown.encode()
    for name in ("HUB_TOKEN", "OTHER_PASSWORD"):
        for form in (SECRETS[name], repr(SECRETS[name])[1:-1], SECRETS[name][:14]):
            assert [path for path, content in everything.items() if form.encode() in content] == []
    assert "[redacted]" in shown
    log = (study.root / "logs" / f"{study.trial_of('secret_in_error')}_a1.log").read_text()
    assert "not a secret" in log  # what is no secret stays


def test_what_the_error_says_beside_its_secrets_stays(ran: tuple[Any, str]) -> None:
    study, _ = ran
    (event,) = study.terminal(study.trial_of("secret_in_error"))
    told = "401 for url: https://hub/x?a=1 with [redacted] and '[redacted]'"
    assert event["data"]["error_message"] == told
    assert event["data"]["traceback"] == f"Traceback …\n{told}"
    assert study.completions()[study.trial_of("ok")] == 1


def test_the_environment_is_nowhere_in_the_folder(ran: tuple[Any, str]) -> None:
    study, _ = ran
    session = study.events("session_started")[0]["data"]["host"]["environment"]
    allowed = {"CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_DEVICE_ORDER"}
    assert set(session) <= {*allowed, "PYTORCH_CUDA_ALLOC_CONF", "TORCHINDUCTOR_CACHE_DIR"}
    kept = [path for path in study.root.rglob("*") if path.is_file() and path.parent.name != "logs"]
    assert [path for path in kept if SECRETS["PLAIN"].encode() in path.read_bytes()] == []


def test_logs_are_for_who_ran_the_study_alone(ran: tuple[Any, str]) -> None:
    study, _ = ran
    modes = {path.name: stat.S_IMODE(os.stat(path).st_mode) for path in (study.root / "logs").iterdir()}
    assert set(modes.values()) == {0o600}


def test_a_token_in_a_study_file_is_refused_with_its_place_and_not_repeated(module_lab: Any) -> None:
    token = "hf_" + "Ab3" * 10
    path = module_lab.place / "token.yaml"
    path.write_text(f"name: tiny\nmodel: gpt2\n# {token}\n")
    session = module_lab.llem("study", "plan", path, code=2)
    assert "token.yaml:3:3: holds what looks like a token or a password" in session.err
    assert "workers inherit" in session.err
    path.write_text("name: tiny\nmodel: {config: llama}\n")
    session = module_lab.llem("study", "plan", path, "--set", f"environment.INNOCENT={token}", code=2)
    assert "holds what looks like a token" in session.err
    assert token not in session.err
    for name, value in {"HF_TOKEN": "any", "INNOCENT": token}.items():
        path.write_text(f"name: tiny\nmodel: ${{{name}}}\n")
        session = module_lab.llem("study", "plan", path, code=2, env={name: value})
        assert f"token.yaml:2:1: model: {name} looks like a secret" in session.err
        assert token not in session.err
