"""Secrets out of texts that are recorded or shown: the values of this process's own, and what has a token's shape.

On the standard library alone: every word for people goes through here.
"""

import json
import os
import re
from collections.abc import Mapping

REDACTED = "[redacted]"
SHORTEST_SECRET = 8
"""A value with fewer characters is left alone: it would be found in half of all words."""

_SECRET_NAME = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?(_|$)")

# Each takes time in proportion to the text, whatever that is: a worker may have written it.
_TOKEN = re.compile(
    r"""
    -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | (?<![A-Za-z0-9]) (?:
        (?:hf|api_org)_[A-Za-z0-9]{20,}                     # Hugging Face
      | (?:AKIA|ASIA)[A-Z0-9]{16}                           # AWS, the id of a key
      | (?:sk|pk|rk)[-_][A-Za-z0-9_-]{20,}                  # OpenAI, Anthropic, Stripe
      | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{20,}
      | xox[a-z]-[A-Za-z0-9-]{10,}                          # Slack
      | AIza[\w-]{35}                                       # Google
    )
    | (?<![\w-]) eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*         # JSON web tokens
    """,
    re.VERBOSE | re.DOTALL,
)
_TOKEN_BEGINS = (
    *("PRIVATE KEY", "hf_", "api_org_", "AKIA", "ASIA", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_"),
    *("gh", "github_pat_", "glpat-", "xox", "AIza", "eyJ"),
)
_IN_A_HEADER = re.compile(
    r"""
    ( authorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic|token)\s+)?   # or an entry of a dictionary
    | \b(?:bearer|basic)\s+(?=[\w.~+/=-]{20}) )
    (?!\[redacted\] | (?:bearer|basic|token)\s) [^\s"'<>,;)}\]]+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_HEADER_WORDS = re.compile("uthorization|earer|asic|UTHORIZATION|EARER|ASIC")
_IN_A_QUERY = re.compile(
    r"""([?&][\w-]*(?:token|key|secret|password|signature|credential)s?=)(?!\[redacted\])[^\s"'<>&,;)}\]]+""",
    re.IGNORECASE,
)
_IN_A_URL = re.compile(r"""(?<=://)[^\s/@:"'<>]*:[^\s/@"'<>]+@""")


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return ``text`` with ``[redacted]`` in the place of secrets; a text without any is returned as it is.

    Args:
        text: What is to be recorded or shown.
        environment: Variables; the values of those that are named like a secret are secrets.
    """
    for secret in _secrets_in(environment):
        text = text.replace(secret, REDACTED)
    return without_tokens(text)


def without_tokens(text: str) -> str:
    """Return ``text`` with ``[redacted]`` in the place of what has the shape of a token, whoever's it is."""
    # To look for the words first is many times faster than to look for what they begin.
    if any(begin in text for begin in _TOKEN_BEGINS):
        text = _TOKEN.sub(REDACTED, text)
    if _HEADER_WORDS.search(text):
        text = _IN_A_HEADER.sub(rf"\1{REDACTED}", text)
    if "://" in text:
        text = _IN_A_QUERY.sub(rf"\1{REDACTED}", text)
        text = _IN_A_URL.sub(f"{REDACTED}@", text)
    return text


def is_named_like_a_secret(name: str) -> bool:
    """Return whether a variable's name says that its value is a secret: ``HF_TOKEN``, ``AWS_SECRET_ACCESS_KEY``."""
    return _SECRET_NAME.search(name.upper()) is not None


def _secrets_in(environment: Mapping[str, str]) -> list[str]:
    """Return the secrets as they stand in texts, the longest first: one may begin with another."""
    named = (value.strip() for name, value in environment.items() if is_named_like_a_secret(name))
    values = {value for value in named if len(value) >= SHORTEST_SECRET}
    quoted = {form for value in values for form in (json.dumps(value)[1:-1], repr(value)[1:-1])}
    return sorted(values | quoted, key=len, reverse=True)
