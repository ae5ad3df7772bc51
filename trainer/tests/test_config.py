import dataclasses
import json
import types
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from run_documents import finetune_document, pretrain_document

from polar import config
from polar.config_reader import camel
from polar.errors import ConfigError

SCHEMA = Path(config.__file__).parent / "run_config.schema.json"
HERE = Path("/data")


def document(**changes: Any) -> dict[str, Any]:
    return pretrain_document(HERE / "out", HERE / "rows.jsonl", **changes)


def error_of(doc: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(doc)
    return str(caught.value)


def test_reads_a_whole_document_with_decimals_as_numbers() -> None:
    got = config.parse(document(optimizer__learningRate="2.5e-4"))
    assert got.optimizer.learning_rate == 2.5e-4
    assert got.model.architecture is not None
    assert got.model.architecture.head_size() == 16
    assert got.telemetry is None


def test_reads_a_fine_tuning_document() -> None:
    got = config.parse(finetune_document(HERE / "out", HERE / "rows.jsonl", HERE / "step-00000005"))
    assert got.kind == "PolarFinetune"
    assert got.model.init is not None
    assert got.validation.held_out_policies == 0


def test_the_generated_schema_accepts_what_the_trainer_accepts_and_has_the_same_keys() -> None:
    schema = json.loads(SCHEMA.read_text())
    telemetry = {"address": "a:1", "tokenPath": "/t", "caPath": "/c", "intervalSeconds": 2}
    warm = {"policyClassification": {"steps": 1, "batchTrajectories": 2, "learningRate": "0.1"}}
    full = document(telemetry=telemetry, warmStart=warm)
    full["model"]["init"] = {"path": "/c", "manifestSha256": "ab"}
    full["optimizer"]["cooldownPercent"] = 10
    full["data"] |= {"reference": "omit", "responseCutSide": "left", "emptyResponse": "omit"}
    full["engine"] = {
        "precision": "bf16", "sharding": "full", "activationCheckpointing": True, "compile": "off"
    }  # fmt: skip
    full["watch"] = {"hangTimeoutSeconds": 60, "hashEverySteps": 10}
    full["export"] = {"formats": ["huggingface", "onnx"]}
    resumed = document(resumeFrom={"path": "/c", "manifestSha256": "ab"})
    for doc in (full, resumed, finetune_document(HERE, HERE, HERE)):
        jsonschema.validate(doc, schema)
        config.parse(doc)
    assert _keys(schema) == _keys_of(config.RunConfig)


def _keys(schema: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for key, part in schema.get("properties", {}).items():
        found |= {f"{path}{key}"} | _keys(part, f"{path}{key}.")
    return found


def _keys_of(cls: Any, path: str = "") -> set[str]:
    found = set()
    for name, hint in get_type_hints(cls).items():
        key = f"{path}{camel(name)}"
        found.add(key)
        inner = next(h for h in get_args(hint) if h is not type(None)) if get_origin(hint) is types.UnionType else hint
        if dataclasses.is_dataclass(inner):
            found |= _keys_of(inner, f"{key}.")
    return found


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"optimizer__learningrate": "0.1"}, "optimizer.learningrate: unknown key, expected one of batchTriplets"),
        ({"surprise": 1}, "surprise: unknown key"),
        ({"model__architecture__depth": 3}, "model.architecture.depth: unknown key"),
        ({"seed": None}, "seed: missing key"),
        ({"optimizer__beta2": None}, "optimizer.beta2: missing key"),
        ({"optimizer__learningRate": 0.001}, 'optimizer.learningRate: expected a decimal string such as "0.001"'),
        ({"optimizer__learningRate": "fast"}, 'optimizer.learningRate: expected a decimal string such as "0.001"'),
        ({"optimizer__learningRate": "nan"}, "optimizer.learningRate: expected a decimal string"),
        ({"optimizer__learningRate": "0"}, "optimizer.learningRate: expected above 0 and at most 1, got 0.0"),
        ({"optimizer__batchTriplets": True}, "optimizer.batchTriplets: expected a whole number, got true"),
        ({"optimizer__batchTriplets": 1.5}, "optimizer.batchTriplets: expected a whole number, got 1.5"),
        ({"optimizer__batchTriplets": 0}, "optimizer.batchTriplets: expected at least 1, got 0"),
        ({"optimizer__schedule": "linear"}, 'optimizer.schedule: expected cosine or constant or wsd, got "linear"'),
        ({"optimizer__cooldownPercent": 101}, "optimizer.cooldownPercent: expected 0 to 100, got 101"),
        ({"optimizer__schedule": "wsd", "optimizer__cooldownPercent": 91}, "optimizer.cooldownPercent: expected"),
        ({"engine": {"precision": "tf32"}}, "engine.precision: expected auto or fp32 or bf16 or fp16, got"),
        ({"engine": {"activationCheckpointing": "yes"}}, 'engine.activationCheckpointing: expected true or false, got'),
        ({"engine": {"turbo": 1}}, "engine.turbo: unknown key"),
        ({"watch": {"hangTimeoutSeconds": -1}}, "watch.hangTimeoutSeconds: expected at least 0, got -1"),
        ({"export": {"formats": "onnx"}}, 'export.formats: expected a list, got "onnx"'),
        ({"export": {"formats": ["gguf"]}}, 'export.formats[0]: expected huggingface or onnx, got "gguf"'),
        ({"export": {"formats": ["onnx", "onnx"]}}, "export.formats: expected each format once, got onnx, onnx"),
        ({"resumeFrom": {}}, "resumeFrom.path: missing key"),
        ({"resumeFrom": {"path": "/c"}, "model__init": {"path": "/d"}}, "model.init: expected nothing: resumeFrom"),
        ({"optimizer__beta1": "1"}, "optimizer.beta1: expected at least 0 and below 1, got 1.0"),
        ({"optimizer__warmupPercent": 101}, "optimizer.warmupPercent: expected 0 to 100, got 101"),
        ({"model": []}, "model: expected an object, got []"),
        ({"model__architecture__hiddenSize": 30}, "model.architecture.hiddenSize: expected a multiple of 2 * numHeads"),
        ({"model__architecture__numKeyValueHeads": 3}, "model.architecture.numKeyValueHeads: expected a divisor"),
        ({"model__architecture__numHeads": 0}, "model.architecture.numHeads: expected at least 1, got 0"),
        ({"model__dropout": "0.95"}, "model.dropout: expected 0 to 0.9, got 0.95"),
        ({"model__tokenizer": {}}, "model.tokenizer.vocabSize: expected exactly one of vocabSize and path"),
        ({"model__tokenizer__path": "/t"}, "model.tokenizer.vocabSize: expected exactly one of vocabSize and path"),
        ({"model__tokenizer__vocabSize": 100}, "model.tokenizer.vocabSize: expected at least 300, got 100"),
        ({"model__tokenizer": None}, "model.tokenizer: expected vocabSize or path"),
        ({"model__architecture": None}, "model.architecture: expected the dimensions of the model, or weights"),
        ({"data__pairing": None}, "data.pairing: expected samePrompt or crossPrompt, got none"),
        ({"data__pairing": "random"}, 'data.pairing: expected samePrompt or crossPrompt, got "random"'),
        ({"data__maxLength": 47}, "data.maxLength: expected at least 2 * maxResponseLength + 8 = 48, got 47"),
        ({"data__maxResponseLength": 3}, "data.maxResponseLength: expected at least 4, got 3"),
        ({"data__negativesPerPositive": 0}, "data.negativesPerPositive: expected at least 1, got 0"),
        ({"data__wrapper": "chat"}, 'data.wrapper: expected pretrain or sft, got "chat"'),
        ({"budget": {}}, "budget.steps: expected exactly one of steps, tokens and epochs, got none"),
        ({"budget__tokens": 5}, "budget.steps: expected exactly one of steps, tokens and epochs, got steps and tokens"),
        ({"budget__steps": 0}, "budget.steps: expected at least 1, got 0"),
        ({"validation__heldOutPolicies": 1}, "validation.heldOutPolicies: expected 0 or at least 2"),
        ({"validation__heldOutPromptPercent": 0}, "validation.heldOutPromptPercent: expected 1 to 90, got 0"),
        ({"checkpoint__keepLast": 0}, "checkpoint.keepLast: expected at least 1, got 0"),
        ({"gang__workers": 7}, "optimizer.batchTriplets: expected at least one per process (7), got 6"),
        ({"kind": "PolarSweep"}, 'kind: expected PolarPretrain or PolarFinetune, got "PolarSweep"'),
        ({"apiVersion": "v1"}, 'apiVersion: expected polar.training/v1alpha1, got "v1"'),
        ({"run__attempt": "1"}, 'run.attempt: expected a whole number, got "1"'),
        ({"data__reference": "omit", "data__maxLength": 27}, "data.maxLength: expected at least 1 * maxR"),
    ],
)  # fmt: skip
def test_a_bad_document_is_refused_with_the_key_and_what_was_expected(changes: dict[str, Any], wanted: str) -> None:
    assert error_of(document(**changes)).startswith(wanted)


def test_fine_tuning_refuses_the_options_of_pre_training() -> None:
    def finetune(**changes: Any) -> str:
        return error_of(finetune_document(HERE, HERE, HERE, **changes))

    assert finetune(data__pairing="samePrompt").startswith("data.pairing: expected nothing")
    assert finetune(model__init=None).startswith("model.init: expected the checkpoint to start from")
    warm = {"policyClassification": {"steps": 1, "batchTrajectories": 2, "learningRate": "0.1"}}
    assert finetune(warmStart=warm).startswith("warmStart: expected nothing")
    assert finetune(resumeFrom={"path": "/c"}).startswith("resumeFrom: expected nothing")


def test_new_options_have_the_values_of_runs_that_were_written_without_them() -> None:
    got = config.parse(document())
    assert (got.engine.precision, got.engine.sharding, got.engine.compile) == ("auto", "auto", "auto")
    assert not got.engine.activation_checkpointing
    assert (got.data.reference, got.data.response_cut_side, got.data.empty_response) == ("include", "right", "newline")
    assert (got.optimizer.cooldown_percent, got.watch.hang_timeout_seconds, got.export.formats) == (20, 0, ())
    assert got.resume_from is None


def test_the_trainer_accepts_every_run_config_in_the_plans_of_the_operator() -> None:
    plans = sorted((Path(config.__file__).parents[2] / "operator/src/run/testdata").glob("*-to-create.plan.yaml"))
    assert len(plans) >= 6
    for plan in plans:
        document, _ = json.JSONDecoder().raw_decode(plan.read_text().split("run.json: |-")[1].lstrip())
        jsonschema.validate(document, json.loads(SCHEMA.read_text()))
        assert config.parse(document, plan.name).run.attempt == document["run"]["attempt"]


def test_limits_of_the_encoder_are_those_of_the_data_options() -> None:
    got = config.parse(document(data__responseCutSide="left", data__emptyResponse="omit")).data.limits()
    assert (got.max_length, got.max_response_length, got.cut_side, got.empty_response) == (64, 20, "left", "omit")


def test_a_model_that_starts_from_weights_needs_no_dimensions() -> None:
    got = config.parse(document(model={"dropout": "0", "init": {"path": "/weights"}}))
    assert got.model.architecture is None


def test_a_file_that_is_missing_or_not_json_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the run config: No such file"):
        config.load(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        config.load(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(ConfigError, match="expected an object, got list"):
        config.load(tmp_path / "run.json")


def test_budgets_become_steps_rounded_up_to_whole_batches() -> None:
    assert config.parse(document()).total_steps(100, 10.0) == 20
    assert config.parse(document(budget={"epochs": 2})).total_steps(100, 10.0) == 34
    assert config.parse(document(budget={"tokens": 1000})).total_steps(100, 10.0) == 17
