"""The prompts of an experiment: texts from a file, or synthetic token ids. The same for every engine."""

import hashlib
import json
import random
from pathlib import Path

from llem.domain.spec import JsonlPrompts, SyntheticPrompts
from llem.engines.base import EngineError

BYTE_VOCABULARY = 256


def file_sha256(path: Path) -> str:
    """Return the content hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_texts(prompts: JsonlPrompts, base_dir: Path) -> list[str]:
    """Return the texts that ``prompts`` asks for, in the order in which they are sent.

    Raises:
        EngineError: The file is missing, was changed since the study was planned, or has too few texts.
    """
    path = base_dir / prompts.path
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no system can open
        reason = error.strerror if isinstance(error, OSError) else error
        raise EngineError(
            "PromptsNotFound", f"The prompts {path} cannot be read: {reason}.", remedy="Check prompts.path."
        ) from None
    if prompts.sha256 is not None and hashlib.sha256(raw).hexdigest() != prompts.sha256:
        raise EngineError(
            "PromptsChanged",
            f"The prompts {path} changed since the study was planned.",
            remedy="Put the file back, or run the study anew: its trials must all see the same prompts.",
        )
    texts = parse_texts(raw, prompts, path)
    if prompts.order == "shuffled":
        draw = random.Random(prompts.seed)
        keyed = [(draw.random(), text) for text in texts]  # random() is the one method that never changes
        texts = [text for _, text in sorted(keyed, key=lambda pair: pair[0])]
    return texts if prompts.count is None else texts[: prompts.count]


def parse_texts(raw: bytes, prompts: JsonlPrompts, path: Path) -> list[str]:
    """Return every text in the file's content, in the file's order.

    Raises:
        EngineError: A line holds no such text, or there are fewer than ``prompts.count``.
    """
    texts = []
    for number, line in enumerate(raw.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[prompts.field]
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str) or not text:
            raise EngineError(
                "PromptsInvalid",
                f"{path}:{number}: expected a JSON object with a text under {prompts.field!r}.",
                remedy="Mend the line, or name another prompts.field.",
            )
        texts.append(text)
    if len(texts) < (prompts.count or 1):
        raise EngineError(
            "PromptsTooFew",
            f"{path} holds {len(texts)} prompts; the study asks for {prompts.count or 'at least one'}.",
            remedy="Lower prompts.count or add lines.",
        )
    return texts


def synthetic_ids(prompts: SyntheticPrompts, vocabulary: int) -> list[list[int]]:
    """Return ``count`` lists of ``input_tokens`` ids below ``vocabulary``, equal for equal seeds on any machine."""
    draw = random.Random(prompts.seed)
    return [[int(draw.random() * vocabulary) for _ in range(prompts.input_tokens)] for _ in range(prompts.count)]


def byte_ids(text: str, vocabulary: int) -> list[int]:
    """Return the UTF-8 bytes of ``text`` as ids: the tokenizer of a model that has none.

    Raises:
        EngineError: The model's vocabulary has fewer than 256 ids.
    """
    if vocabulary < BYTE_VOCABULARY:
        raise EngineError(
            "VocabularyTooSmall",
            f"The model has no tokenizer, and its vocabulary of {vocabulary} ids cannot hold 256 byte values.",
            remedy="Use a model with a tokenizer, a vocab_size of at least 256, or synthetic prompts.",
        )
    return list(text.encode("utf-8"))


def cut_to(ids: list[int], input_tokens: int | None, number: int) -> list[int]:
    """Return ``ids`` cut to exactly ``input_tokens``, or whole where that is None.

    Raises:
        EngineError: The prompt is shorter: the work would differ from what was asked.
    """
    if input_tokens is None:
        return ids
    if len(ids) < input_tokens:
        raise EngineError(
            "PromptTooShort",
            f"Prompt {number} has {len(ids)} tokens; the study asks for exactly {input_tokens}.",
            remedy="Lower prompts.input_tokens, leave it out for natural lengths, or use longer texts.",
        )
    return ids[:input_tokens]
