import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from run_documents import preference_rows, trajectory_rows, write_jsonl

from polar.data import read_preferences, read_trajectories
from polar.errors import DataError

GOOD = {"prompt_id": "p1", "prompt": "say", "policy": "a", "output": "yes"}
TRIPLET = {"prompt": "say", "reference": "a", "chosen": "b", "rejected": "c"}


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_trajectories(path, "pretrain")
    return str(caught.value)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_reads_trajectories_from_plain_and_gzipped_lines(tmp_path: Path, name: str) -> None:
    data = read_trajectories(write_jsonl(tmp_path / name, trajectory_rows()), "sft")
    assert len(data.outputs) == 12 * 4 * 2
    assert data.policies == ["policy-0", "policy-1", "policy-2", "policy-3"]
    assert set(data.wrapper) == {"sft"}


def test_reads_the_same_from_parquet_and_from_a_folder_of_files(tmp_path: Path) -> None:
    rows = trajectory_rows()
    folder = tmp_path / "parts"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", rows[:40])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[40:]), folder / "b.parquet")
    (folder / "notes.txt").write_text("not data")
    whole = read_trajectories(write_jsonl(tmp_path / "all.jsonl", rows), "pretrain")
    parts = read_trajectories(folder, "pretrain")
    assert parts.outputs == whole.outputs
    assert parts.prompt.tolist() == whole.prompt.tolist()
    assert {Path(f).name for f in parts.source.files} == {"a.jsonl", "b.parquet"}


def test_the_order_of_the_rows_in_the_file_does_not_matter(tmp_path: Path) -> None:
    rows = trajectory_rows()
    forwards = read_trajectories(write_jsonl(tmp_path / "a.jsonl", rows), "pretrain")
    backwards = read_trajectories(write_jsonl(tmp_path / "b.jsonl", rows[::-1]), "pretrain")
    assert forwards.outputs == backwards.outputs
    assert forwards.policy.tolist() == backwards.policy.tolist()


def test_a_row_keeps_its_own_wrapper_and_knows_its_line(tmp_path: Path) -> None:
    rows = [GOOD, {**GOOD, "policy": "b", "wrapper": "sft"}]
    data = read_trajectories(write_jsonl(tmp_path / "a.jsonl", rows), "pretrain")
    assert data.wrapper == ["pretrain", "sft"]
    assert data.source.where(1) == f"{tmp_path}/a.jsonl:2"


def test_rows_with_an_empty_output_are_skipped_and_counted(tmp_path: Path) -> None:
    data = read_trajectories(write_jsonl(tmp_path / "a.jsonl", [GOOD, {**GOOD, "output": ""}]), "pretrain")
    assert (len(data.outputs), data.skipped_empty) == (1, 1)


def test_a_row_that_is_there_twice_is_read_once_so_that_no_positive_copies_its_reference(tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(folder / name, [GOOD, {**GOOD, "output": "no"}, {**GOOD, "policy": "b"}])
    data = read_trajectories(folder, "pretrain")
    assert (data.outputs, data.policy.tolist(), data.skipped_repeated) == (["no", "yes", "yes"], [0, 0, 1], 3)
    assert data.source.where(1) == f"{folder}/a.jsonl:1"


def test_without_a_prompt_id_the_prompt_itself_identifies_it(tmp_path: Path) -> None:
    rows = [{k: v for k, v in GOOD.items() if k != "prompt_id"}, {**GOOD, "prompt_id": None, "policy": "b"}]
    assert read_trajectories(write_jsonl(tmp_path / "a.jsonl", rows), "pretrain").prompt_ids == ["say"]


def test_one_prompt_under_two_ids_is_one_prompt_so_that_held_out_prompts_are_in_no_training_row(tmp_path: Path) -> None:
    rows = [{**row, "prompt_id": f"{row['prompt_id']}-{n % 3}"} for n, row in enumerate(trajectory_rows())]
    data = read_trajectories(write_jsonl(tmp_path / "a.jsonl", rows), "pretrain")
    once = read_trajectories(write_jsonl(tmp_path / "b.jsonl", trajectory_rows()), "pretrain")
    assert data.prompt_ids == [f"{prompt_id}-0" for prompt_id in once.prompt_ids]
    assert (data.prompts, data.outputs, data.prompt.tolist()) == (once.prompts, once.outputs, once.prompt.tolist())


def test_reads_triplets_in_message_form(tmp_path: Path) -> None:
    data = read_preferences(write_jsonl(tmp_path / "a.jsonl", preference_rows()), "sft")
    assert len(data.texts) == 3 * 24
    assert len(data.prompts) == 24 or len(set(data.prompts)) == len(data.prompts)


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("[1]", "expected an object with keys prompt, output, policy, got [1]"),
        ("{", "not JSON"),
        ({**GOOD, "prompt": 5}, "prompt: expected a string or a list of messages with a string in content, got 5"),
        ({"policy": "a", "output": "b"}, "prompt: expected a string or a list of messages"),
        ({**GOOD, "prompt": []}, "prompt: expected a string or a list of messages"),
        ({**GOOD, "prompt": [{"role": "user"}]}, "prompt: expected a string or a list of messages"),
        ({**GOOD, "policy": ""}, "policy: expected a string that is not empty, got ''"),
        ({k: v for k, v in GOOD.items() if k != "policy"}, "policy: expected a string that is not empty, got no such"),
        ({**GOOD, "wrapper": "chat"}, "wrapper: expected pretrain or sft, got 'chat'"),
        ({**GOOD, "prompt": "other"}, "prompt_id: 'p1' stands for another prompt in an earlier row"),
        ({**GOOD, "output": "\ud800"}, "output: expected Unicode text, got a lone surrogate at character 0"),
    ],
)  # fmt: skip
def test_a_malformed_row_is_named_with_file_line_key_expected_and_got(tmp_path: Path, row: Any, wanted: str) -> None:
    text = row if isinstance(row, str) else json.dumps(row)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + text + "\n")
    first, second = error_of(path).split("\n")
    assert first == "1 malformed row:"
    assert second.startswith(f"{path}:3: {wanted}")


def test_many_malformed_rows_are_counted_and_twenty_are_shown(tmp_path: Path) -> None:
    lines = error_of(write_jsonl(tmp_path / "a.jsonl", [GOOD] + [{}] * 50)).split("\n")
    assert (lines[0], lines[-1], len(lines)) == ("50 malformed rows:", "and 30 more", 22)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    assert "no such file or folder" in error_of(tmp_path / "none.jsonl")
    (tmp_path / "folder").mkdir()
    assert "the folder has none" in error_of(tmp_path / "folder")
    (tmp_path / "rows.csv").write_text("a")
    assert "expected a name ending in .jsonl" in error_of(tmp_path / "rows.csv")
    (tmp_path / "empty.jsonl").write_text("")
    assert "found none" in error_of(tmp_path / "empty.jsonl")


def test_damaged_files_are_data_errors(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps(GOOD).encode() * 500)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "damaged gzip file" in error_of(tmp_path / "cut.jsonl.gz")
    (tmp_path / "text.jsonl.gz").write_bytes(b"not gzip")
    assert "cannot read: Not a gzipped file" in error_of(tmp_path / "text.jsonl.gz")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    assert "damaged Parquet file" in error_of(tmp_path / "bad.parquet")
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xff"}\n')
    assert "latin.jsonl:1: not JSON" in error_of(tmp_path / "latin.jsonl")


def test_a_triplet_lacking_its_rejected_answer_is_named(tmp_path: Path) -> None:
    broken = {k: v for k, v in TRIPLET.items() if k != "rejected"}
    path = write_jsonl(tmp_path / "t.jsonl", [TRIPLET, broken])
    with pytest.raises(DataError, match=r"t.jsonl:2: rejected: expected a string .* the key is missing"):
        read_preferences(path, "sft")
