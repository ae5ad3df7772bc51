import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from pools import a_folder
from run_documents import preference_rows, trajectory_rows, write_jsonl

from polar import ingest
from polar.data import Reading, Rows, read_rows_of
from polar.distributed import Dist
from polar.encode import Wrapper
from polar.errors import DataError
from polar.row_check import PREFERENCES, TRAJECTORIES, Kind
from polar.store import DataStore

GOOD = {"prompt_id": "p1", "prompt": "say", "policy": "a", "output": "yes"}
TRIPLET = {"prompt": "say", "reference": "a", "chosen": "b", "rejected": "c"}


def read(path: Path, wrapper: Wrapper = "pretrain", kind: Kind = TRAJECTORIES, **choices: int) -> Rows:
    reading = Reading(path=str(path), kind=kind, wrapper=wrapper, **({"seed": 0, "percent": 0} | choices))
    return read_rows_of(reading, DataStore(a_folder(), Dist()))


def shown(data: Rows) -> list[tuple[str, str, str]]:
    """Prompt, policy and text of every row, in order."""
    columns = zip(data.prompt, data.policy, data.texts, strict=True)
    return [(data.prompts[prompt], data.policies[policy], text) for prompt, policy, text in columns]


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_reads_trajectories_from_plain_and_gzipped_lines(tmp_path: Path, name: str) -> None:
    data = read(write_jsonl(tmp_path / name, trajectory_rows()), "sft")
    assert sorted(shown(data)) == sorted((row["prompt"], row["policy"], row["output"]) for row in trajectory_rows())
    assert {data.wrapper_of(row) for row in range(len(data))} == {"sft"}


def test_reads_the_same_from_parquet_and_from_folders_of_files(tmp_path: Path) -> None:
    rows = trajectory_rows()
    folder = tmp_path / "parts"
    (folder / "more").mkdir(parents=True)
    write_jsonl(folder / "a.jsonl", rows[:40])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows[40:]), folder / "more" / "b.parquet")
    (folder / "notes.txt").write_text("not data")
    parts = read(folder)
    assert shown(parts) == shown(read(write_jsonl(tmp_path / "all.jsonl", rows)))
    assert {Path(f).name for f in parts.source.files} == {"a.jsonl", "b.parquet"}


def test_the_order_of_the_rows_in_the_file_does_not_matter_and_that_of_the_run_is_seeded(tmp_path: Path) -> None:
    rows = trajectory_rows()
    forwards, backwards = write_jsonl(tmp_path / "a.jsonl", rows), write_jsonl(tmp_path / "b.jsonl", rows[::-1])
    assert shown(read(forwards)) == shown(read(backwards))
    assert shown(read(forwards)) != shown(read(forwards, seed=1))


def test_rows_of_one_prompt_and_policy_are_neighbours_however_many_parts_they_were_sorted_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", trajectory_rows(prompts=40))
    whole = read(path, percent=20, policies=2)
    monkeypatch.setattr(ingest, "BUCKET_BYTES", path.stat().st_size // 7)
    split = read(path, percent=20, policies=2)
    assert shown(split) == shown(whole)
    assert split.parts == whole.parts
    for one, other in ((split.cells.table, whole.cells.table), (split.cells.by_policy, whole.cells.by_policy)):
        assert one.tolist() == other.tolist()
    assert (np.diff(split.prompt[split.parts["training"]]) >= 0).all()


def test_a_row_keeps_its_own_wrapper_and_knows_its_line(tmp_path: Path) -> None:
    rows = [GOOD, {**GOOD, "policy": "b", "wrapper": "sft"}]
    data = read(write_jsonl(tmp_path / "a.jsonl", rows))
    assert [data.wrapper_of(row) for row in range(2)] == ["pretrain", "sft"]
    assert data.source.where(1) == f"{tmp_path}/a.jsonl:2"


def test_rows_with_an_empty_output_are_skipped_and_counted(tmp_path: Path) -> None:
    data = read(write_jsonl(tmp_path / "a.jsonl", [GOOD, {**GOOD, "policy": "b"}, {**GOOD, "output": ""}]))
    assert (len(data), data.skipped_empty) == (2, 1)


def test_a_row_that_is_there_twice_is_read_once_so_that_no_positive_copies_its_reference(tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(folder / name, [GOOD, {**GOOD, "output": "no"}, {**GOOD, "policy": "b"}])
    data = read(folder)
    assert sorted(shown(data)) == [("say", "a", "no"), ("say", "a", "yes"), ("say", "b", "yes")]
    assert data.skipped_repeated == 3
    assert {data.source.where(row) for row in range(3)} == {f"{folder}/a.jsonl:{line}" for line in (1, 2, 3)}


def test_one_prompt_under_two_ids_is_one_prompt_so_that_held_out_prompts_are_in_no_training_row(tmp_path: Path) -> None:
    rows = [{**row, "prompt_id": f"{row['prompt_id']}-{n % 3}"} for n, row in enumerate(trajectory_rows())]
    data = read(write_jsonl(tmp_path / "a.jsonl", rows))
    once = read(write_jsonl(tmp_path / "b.jsonl", trajectory_rows()))
    assert shown(data) == shown(once)
    assert len(data.prompts) == 12


def test_reads_triplets_in_message_form(tmp_path: Path) -> None:
    data = read(write_jsonl(tmp_path / "a.jsonl", preference_rows()), "sft", PREFERENCES)
    texts = [*data.texts]
    got = {(data.prompts[data.prompt[row]], *texts[3 * row : 3 * row + 3]) for row in range(len(data))}
    keys = ("prompt", "reference", "chosen", "rejected")
    assert got == {tuple(row[key][0]["content"] for key in keys) for row in preference_rows()}


def test_the_same_triplet_twice_stays_twice(tmp_path: Path) -> None:
    rows = [TRIPLET, TRIPLET, {**TRIPLET, "prompt": "ask"}]
    assert len(read(write_jsonl(tmp_path / "a.jsonl", rows), "sft", PREFERENCES)) == 3


def test_a_parquet_file_without_a_column_is_named_with_the_columns_it_has(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"prompt": "p", "text": "t"}]), tmp_path / "a.parquet")
    wanted = "a.parquet: expected the columns prompt, output, policy, got prompt, text"
    assert wanted in error_of(tmp_path / "a.parquet")


def test_a_parquet_column_of_another_type_is_named_row_by_row(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "policy": "a", "output": 5}] * 2
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    first, second, _ = error_of(tmp_path / "a.parquet").split("\n")
    assert first == "2 malformed rows:"
    assert second.startswith(f"{tmp_path}/a.parquet:1: output: expected a string or a list of messages")


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
        read(path, "sft", PREFERENCES)
