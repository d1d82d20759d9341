"""Make a tiny, real model folder without any download: tokenizer, configuration and weights.

    python examples/local_model/make_model.py

The tokenizer is a byte-level BPE, trained on ../prompts.jsonl. The model is a Llama with 870,000 parameters and
random weights, saved as safetensors. Both are equal on every run with the same libraries. What it writes is
nonsense; what it costs is the work of a real model of this shape.
"""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

HERE = Path(__file__).parent
TEXTS = HERE.parent / "prompts.jsonl"
FOLDER = HERE / "tiny-llama"
END = "<|end|>"
VOCABULARY = 512


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer: any text has ids, frequent strings have short ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def make_model(end_id: int) -> LlamaForCausalLM:
    """Return a small Llama with random weights from a fixed seed."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=end_id,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )
    return LlamaForCausalLM(config)


def main() -> None:
    """Write the folder, over an older one."""
    logging.disable_progress_bar()
    texts = [json.loads(line)["text"] for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    tokenizer = train_tokenizer(texts)
    model = make_model(tokenizer.eos_token_id)
    tokenizer.save_pretrained(FOLDER)
    model.save_pretrained(FOLDER)
    print(f"{FOLDER}: {model.num_parameters():,} parameters, {len(tokenizer)} tokens in the vocabulary")


if __name__ == "__main__":
    main()
