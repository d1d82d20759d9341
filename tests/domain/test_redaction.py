"""Secrets out of texts: none survives, and a text without any stays as it is."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llem.domain.redaction import REDACTED, is_named_like_a_secret, redacted, without_tokens

LETTERS = st.characters(categories=["L", "N"], max_codepoint=127)
LONG = st.text(LETTERS, min_size=36, max_size=60)
SHAPES = {
    "hugging face": "hf_{}",
    "aws id": "AKIA{:.16}",
    "openai": "sk-proj-{}",
    "anthropic": "sk-ant-api03-{}",
    "github": "ghp_{}",
    "fine-grained": "github_pat_11ABC_{}",
    "gitlab": "glpat-{:.20}",
    "slack": "xoxb-123-{}",
    "google": "AIza{:.35}",
    "header": "Authorization: Bearer {}",
    "header of a dictionary": "{{'authorization': 'Bearer {}'}}",
    "basic": "AUTHORIZATION=Basic {}",
    "bearer alone": "bearer {}",
    "url": "https://me:{}@host/path",
    "token as a user": "http://:{}@proxy:8080",
    "signed link": "https://cdn/x?Expires=1&Signature={}&b=2",
    "query": "https://host/x?api_key={}",
    "web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}",
    "private key": "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "private key that was cut": "-----BEGIN OPENSSH PRIVATE KEY-----\n{}",
}
AROUND = st.text(st.sampled_from(" \n\t'\"<>)]},;"), min_size=1, max_size=4)


@pytest.mark.parametrize("shape", SHAPES)
@given(before=AROUND, after=AROUND, secret=LONG)
def test_what_has_a_token_s_shape_never_survives(shape, before, after, secret):
    secret = secret.upper() if shape == "aws id" else secret
    clean = without_tokens(f"error{before}{SHAPES[shape].format(secret)}{after}see the log")
    assert secret[:16] not in clean
    assert REDACTED in clean
    assert clean.startswith("error")
    if shape != "private key that was cut":
        assert clean.endswith("see the log")
    assert without_tokens(clean) == clean


@given(secret=st.text(min_size=8, max_size=40), before=st.text(max_size=10), after=st.text(max_size=10))
def test_no_value_of_a_variable_that_is_named_like_a_secret_survives(secret, before, after):
    assume(len(secret.strip()) >= 8 and secret.strip() not in REDACTED)
    environment = {"MY_API_TOKEN": secret, "PATH": "/usr/bin"}
    secret = secret.strip()
    for text in (f"{before}{secret}{after}", f"{before}{secret!r}{after}", json.dumps({before: secret + after})):
        pieces = redacted(text, environment).split(REDACTED)
        assert [piece for piece in pieces if secret in piece or repr(secret)[1:-1] in piece] == []


PLAIN = [
    "",
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB",
    "pad_token_id: 50256, eos_token='<|endoftext|>', hf_hub 0.36, task-level, risk-free, ask_me_anything",
    "see https://huggingface.co/docs/hub/security-tokens#user-access-tokens and git@github.com:a/b.git",
    "http://localhost:8080/v1/models?limit=20&page=2",
    "ssh://git@host/x, mailto:me@host, 12:30@noon, key=value, token: 12, basic arithmetic of bearer bonds",
    "AKIA, sk-, hf_, ghp_short, eyJ, AIzaShort, -----BEGIN CERTIFICATE-----",
    "sha256 " + "ab12" * 16,
    "tests/a/test_basic.py:12: Authorization failed",
]


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_without_secrets_is_unchanged(text):
    assert redacted(text, {"HF_TOKEN": "hf_notinthere12", "LANG": "C.UTF-8", "SHORT_KEY": "a"}) == text


@given(st.text(st.characters(exclude_characters=":@?&=_-", categories=["L", "N", "P", "Z"])))
def test_words_of_any_language_are_unchanged(text):
    assume("AKIA" not in text and "AIza" not in text and "asic" not in text.lower() and "earer" not in text.lower())
    assert without_tokens(text) == text


def test_the_longer_of_two_secrets_goes_first():
    environment = {"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefgh-and-more"}
    assert redacted("x abcdefgh-and-more y abcdefgh", environment) == f"x {REDACTED} y {REDACTED}"


@pytest.mark.parametrize("name", ["HF_TOKEN", "api_key", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "GPG_PASSPHRASE"])
def test_names_of_secrets(name):
    assert is_named_like_a_secret(name)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "PATH", "KEYBOARD", "PYTHONPATH", "HF_HOME"])
def test_names_of_no_secrets(name):
    assert not is_named_like_a_secret(name)
