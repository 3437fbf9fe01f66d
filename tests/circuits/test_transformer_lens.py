"""TransformerLens 4, where it is installed, finds the same head scores and compositions in the same tiny GPT-2."""

from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from ontogeny import circuits

transformers = pytest.importorskip("transformers")
bridges = pytest.importorskip("transformer_lens.model_bridge", reason="TransformerLens 4 or later")
detector = pytest.importorskip("transformer_lens.head_detector")

PERIOD, LENGTH = 6, 18


def test_head_scores_and_compositions_agree(tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=31, n_embd=24, n_layer=3, n_head=3, n_positions=32)
    config.architectures = ["GPT2LMHeadModel"]
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # large enough that heads differ
            parameter.add_(0.2 * torch.randn(parameter.shape))
    special = {"bos_token": "0", "eos_token": "0", "unk_token": "0", "pad_token": "0"}
    words = Tokenizer(WordLevel({str(each): each for each in range(31)}, unk_token="0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    with mock.patch("transformers.AutoConfig.from_pretrained", return_value=config):
        bridge = bridges.TransformerBridge.boot_transformers("gpt2", hf_model=model, tokenizer=tokenizer)

    tokens = torch.randperm(31)[:PERIOD].repeat(LENGTH // PERIOD)[None]
    found = circuits.pattern_scores(model, tokens, circuits.text_scores)
    found |= circuits.pattern_scores(model, tokens, partial(circuits.repeat_scores, period=PERIOD))
    patterns = bridge.run_with_cache(tokens)[1]
    # There a score is a share of all attention, of every query; here a mean over the queries that it can be asked of.
    kinds = {
        "previous_token": (detector.get_previous_token_head_detection_pattern, LENGTH - 1),
        "duplicate_token": (detector.get_duplicate_token_head_detection_pattern, LENGTH - PERIOD),
        "prefix_matching": (detector.get_induction_head_detection_pattern, LENGTH - PERIOD),
    }
    for name, (pattern, queries) in kinds.items():
        options = {"exclude_bos": False, "exclude_current_token": False, "error_measure": "mul"}
        for layer in range(3):
            for head in range(3):
                seen = patterns[f"blocks.{layer}.attn.hook_pattern"][0, head]
                score = detector.compute_head_attention_similarity_score(seen, pattern(tokens), **options)
                assert float(found[name][layer, head, 0]) * queries / LENGTH == pytest.approx(score, abs=1e-4)

    for input in ("Q", "K", "V"):
        expected = bridge.all_composition_scores(input).scores.detach().numpy()
        scores = circuits.composition(model, input, count=9)
        np.testing.assert_allclose(scores.fillna(0), expected, atol=1e-4)
