"""Any text can be encoded, decodes to itself, and the same text gives the same tokenizer."""

import subprocess
import sys
from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ontogeny.core.errors import InvalidArgument
from ontogeny.data.tokenizer import END_OF_TEXT, END_OF_TEXT_ID, encode, load_tokenizer, token_strings, train_tokenizer

TEXTS = [topics["for"], topics["lambda"]]
TOKENIZER = train_tokenizer(TEXTS, 256)


@given(st.text())
def test_every_text_decodes_to_itself(text: str) -> None:
    [ids] = encode(TOKENIZER, [text])
    assert TOKENIZER.decode(ids.tolist(), skip_special_tokens=False) == text
    assert ids.size == 0 or 0 < ids.min() <= ids.max() < 256  # never the end of a text


def test_every_character_plane_fits_the_smallest_vocabulary() -> None:
    text = "".join(chr(code) for code in range(1, 0x110000, 7) if not 0xD800 <= code < 0xE000)
    [ids] = encode(TOKENIZER, [text])
    assert TOKENIZER.decode(ids.tolist()) == text


@pytest.mark.parametrize("size", [256, 300])
def test_the_vocabulary_is_as_large_as_asked(size: int) -> None:
    tokenizer = train_tokenizer(TEXTS, size)
    assert tokenizer.get_vocab_size() == size
    assert tokenizer.token_to_id(END_OF_TEXT) == END_OF_TEXT_ID


def test_a_corpus_too_small_for_its_vocabulary_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"vocabulary_size.*5000 for a corpus that yields"):
        train_tokenizer(TEXTS, 5000)


@pytest.mark.slow
def test_the_same_texts_give_the_same_tokenizer_in_another_process() -> None:
    program = f"from ontogeny.data.tokenizer import train_tokenizer as t; assert t({TEXTS!r}, 300).to_str() == {{!r}}"
    expected = train_tokenizer(TEXTS, 300).to_str()
    subprocess.run([sys.executable, "-c", program.format(expected)], check=True, timeout=60)


def test_the_letters_of_the_special_token_stay_letters() -> None:
    for tokenizer in (TOKENIZER, load_tokenizer(TOKENIZER.to_str())):
        [ids] = encode(tokenizer, [f"a{END_OF_TEXT}b"])
        assert END_OF_TEXT_ID not in ids
        assert tokenizer.decode(ids.tolist()) == f"a{END_OF_TEXT}b"


def test_tokens_are_shown_as_their_own_text() -> None:
    [ids] = encode(TOKENIZER, ["for i in\n\tx:"])
    assert "".join(token_strings(TOKENIZER, ids.tolist())) == "for·i·in⏎⇥x:"
    [ids] = encode(TOKENIZER, ["木"])
    assert token_strings(TOKENIZER, [END_OF_TEXT_ID, *ids.tolist()]) == ["<|endoftext|>", "\\xe6", "\\x9c", "\\xa8"]
