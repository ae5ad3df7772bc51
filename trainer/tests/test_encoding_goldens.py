"""The committed goldens are reproduced; the suite official shows that they are what the official code gives."""

import json

import pytest
from make_encoding_goldens import FOLDER, TOKENIZERS, render

from polar.internlm2_tokenizer import read_internlm2
from polar.tokenizer import TextEncoder


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_goldens_of_every_tokenizer_are_reproduced(name: str) -> None:
    made, committed = (json.loads(text) for text in (render(name), (FOLDER / name / "cases.json").read_text()))
    assert len(made) == len(committed) > 150
    for one, other in zip(made, committed, strict=True):
        assert one == other


def test_the_tokenizer_of_an_internlm2_folder_becomes_the_committed_tokenizer_json() -> None:
    folder = FOLDER / "internlm2"
    made = TextEncoder(read_internlm2(folder), "internlm2").to_json()
    assert json.loads(made) == json.loads((folder / "tokenizer.json").read_text())
