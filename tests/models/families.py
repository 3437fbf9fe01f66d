"""Decoder families: small random networks of each, and what is known of them beforehand."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from torch import nn

from ontogeny.core.restriction import Component
from ontogeny.models import components

WIDTHS: dict[str, Any] = {"vocab_size": 31, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
IDS: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
WIDE = WIDTHS | IDS | {"num_attention_heads": 6, "max_position_embeddings": 16}
GROUPED = WIDE | {"num_key_value_heads": 2}
GPT = IDS | {"vocab_size": 31, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 16}
# StableLM turns a quarter of a head's coordinates, which must be two or more.
HALF_TURNED = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
FALCON = WIDTHS | IDS | {"new_decoder_architecture": False}


@dataclass(frozen=True)
class Family:
    """What is known of an architecture beforehand: the tests compare with it, the library never sees it."""

    config: str
    settings: dict[str, Any]
    output: str  # the module that projects the heads' outputs, in the first layer
    queries: str  # the module that makes queries, alone or with keys and values
    heads: int
    groups: int = 0  # of heads that share keys and values
    tied: bool = False
    mixes: bool = False  # whether a norm over the full width lets each head's queries act on all heads
    neurons: bool = True


FAMILIES = {
    "gpt2": Family("GPT2Config", GPT, "attn.c_proj", "attn.c_attn", 3, tied=True),
    "gpt_neo": Family(
        "GPTNeoConfig",
        IDS
        | {"vocab_size": 31, "hidden_size": 24, "num_layers": 2, "num_heads": 3, "max_position_embeddings": 16}
        | {"attention_types": [[["global", "local"], 1]]},
        "attn.attention.out_proj",
        "attn.attention.q_proj",
        3,
        tied=True,
    ),
    "gpt_neox": Family("GPTNeoXConfig", WIDE, "attention.dense", "attention.query_key_value", 6),
    "gptj": Family("GPTJConfig", GPT | {"rotary_dim": 4}, "attn.out_proj", "attn.q_proj", 3),
    "codegen": Family(
        "CodeGenConfig", GPT | {"n_embd": 32, "n_head": 4, "rotary_dim": 4}, "attn.out_proj", "attn.qkv_proj", 4
    ),
    "bigcode, one key head": Family(
        "GPTBigCodeConfig", GPT | {"multi_query": True}, "attn.c_proj", "attn.c_attn", 3, groups=1, tied=True
    ),
    "bloom": Family(
        "BloomConfig",
        IDS | {"vocab_size": 31, "hidden_size": 24, "n_layer": 2, "n_head": 3},
        "self_attention.dense",
        "self_attention.query_key_value",
        3,
        tied=True,
    ),
    "falcon, one key head": Family(
        "FalconConfig",
        FALCON | {"num_attention_heads": 3, "multi_query": True},
        "self_attention.dense",
        "self_attention.query_key_value",
        3,
        groups=1,
        tied=True,
    ),
    "falcon, grouped": Family(
        "FalconConfig",
        WIDTHS | IDS | {"num_attention_heads": 6, "num_kv_heads": 2, "new_decoder_architecture": True},
        "self_attention.dense",
        "self_attention.query_key_value",
        6,
        groups=2,
        tied=True,
    ),
    "falcon, alibi": Family(
        "FalconConfig",
        FALCON | {"num_attention_heads": 3, "multi_query": False, "alibi": True, "bias": True, "parallel_attn": False},
        "self_attention.dense",
        "self_attention.query_key_value",
        3,
        tied=True,
    ),
    "mpt": Family(
        "MptConfig",
        IDS | {"vocab_size": 31, "d_model": 24, "n_layers": 2, "n_heads": 3, "max_seq_len": 16},
        "attn.out_proj",
        "attn.Wqkv",
        3,
        tied=True,
    ),
    "opt": Family(
        "OPTConfig",
        IDS
        | {"vocab_size": 31, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "ffn_dim": 40}
        | {"max_position_embeddings": 16, "word_embed_proj_dim": 24},
        "self_attn.out_proj",
        "self_attn.q_proj",
        3,
        tied=True,
    ),
    "persimmon": Family("PersimmonConfig", WIDE, "self_attn.dense", "self_attn.query_key_value", 6),
    "phi": Family("PhiConfig", WIDE, "self_attn.dense", "self_attn.q_proj", 6),
    "phi3": Family("Phi3Config", GROUPED, "self_attn.o_proj", "self_attn.qkv_proj", 6, groups=2),
} | {
    name: Family(config, GROUPED | more, "self_attn.o_proj", "self_attn.q_proj", 6, groups=2, **what)
    for name, config, more, what in [
        ("llama", "LlamaConfig", {"attention_bias": True}, {}),
        ("mistral", "MistralConfig", {"sliding_window": 4}, {}),
        ("mixtral", "MixtralConfig", {"num_local_experts": 4}, {"neurons": False}),
        ("qwen2", "Qwen2Config", {}, {}),
        ("qwen3", "Qwen3Config", {"head_dim": 8}, {}),
        ("gemma", "GemmaConfig", {"head_dim": 8}, {"tied": True}),
        ("gemma2", "Gemma2Config", {"head_dim": 8}, {"tied": True}),
        ("gemma3", "Gemma3TextConfig", {"head_dim": 8}, {"tied": True}),
        ("olmo", "OlmoConfig", {}, {}),
        ("olmo2", "Olmo2Config", {}, {"mixes": True}),
        ("stablelm", "StableLmConfig", {"rope_parameters": HALF_TURNED}, {}),
        ("cohere", "CohereConfig", {}, {"tied": True}),
        ("starcoder2", "Starcoder2Config", {}, {"tied": True}),
        ("granite", "GraniteConfig", {}, {}),
        (
            "gpt_oss",
            "GptOssConfig",
            {"head_dim": 8, "num_local_experts": 4, "rope_parameters": None},
            {"neurons": False},
        ),
        (
            "llama4",
            "Llama4TextConfig",
            {"head_dim": 8, "num_local_experts": 4, "intermediate_size_mlp": 40, "interleave_moe_layer_step": 2}
            | {"use_qk_norm": False},
            {},
        ),
    ]
}


@cache
def network(name: str) -> tuple[Any, dict[str, Component]]:
    """A small random network of the family in eval mode, and its components."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, FAMILIES[name].config)(**FAMILIES[name].settings)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            for parameter in model.parameters():  # biases too, and large enough that each weight tells
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return model, components(model)


def module(model: nn.Module, ending: str, layer: int = 0) -> tuple[str, nn.Module]:
    return next((path, each) for path, each in model.named_modules() if path.endswith(f".{layer}.{ending}"))
