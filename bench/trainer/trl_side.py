"""The other contender: TRL's RewardTrainer, its own training loop, on the same tokens from the same weights.

Epochs of one `trainer.train()` call are the rounds; between them the loop waits in a callback for the driver.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast, TrainerCallback
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

import workload
from sizes import SIZES, Size

LEARNING_RATE = 1e-5
NORM_EPS = 1e-5
PAD = "<pad>"
FOREVER = 10_000


class Shapes(DataCollatorForPreference):
    """The default collator, which also notes the shape of every padded micro-batch."""

    def __init__(self, pad_token_id: int) -> None:
        super().__init__(pad_token_id=pad_token_id)
        self.seen: list[tuple[int, int]] = []

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad, and note the shape."""
        batch = super().torch_call(examples)
        self.seen.append(tuple(batch["input_ids"].shape))
        return batch


class Epochs(TrainerCallback):
    """Calls `between` after every epoch; training ends when it says so."""

    def __init__(self, between: Callable[[], bool]) -> None:
        self.between = between

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Hand the turn over."""
        control.should_training_stop = not self.between()


def model(size: Size, weights: Path, pad: int) -> LlamaForSequenceClassification:
    """The same backbone and head in transformers' words."""
    config = LlamaConfig(
        hidden_size=size.hidden_size,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        num_key_value_heads=size.num_key_value_heads,
        intermediate_size=size.intermediate_size,
        vocab_size=size.vocab_size,
        max_position_embeddings=32_768,
        rms_norm_eps=NORM_EPS,
        rope_parameters={"rope_type": "default", "rope_theta": float(size.rope_theta)},
        tie_word_embeddings=False,
        num_labels=1,
        pad_token_id=pad,
        attn_implementation="sdpa",
    )
    net = LlamaForSequenceClassification(config)
    tensors = {("score.weight" if name == "v_head.weight" else name): w for name, w in load_file(weights).items()}
    net.load_state_dict(tensors)
    return net.train()


def scores(net: LlamaForSequenceClassification, groups: list[list[workload.Ids]]) -> list[float]:
    """One score per sequence, sequence by sequence."""
    with torch.no_grad():
        found = [
            net(torch.from_numpy(s).long()[None].to(net.device), use_cache=False).logits[0, 0]
            for g in groups
            for s in g
        ]
    return torch.stack(found).float().tolist()


def trainer(
    net: LlamaForSequenceClassification,
    groups: list[list[workload.Ids]],
    spec: dict[str, Any],
    callback: TrainerCallback,
) -> tuple[RewardTrainer, Shapes]:
    """A RewardTrainer over pairs, and the collator that notes its shapes."""
    size = SIZES[spec["size"]]
    rows = {
        "chosen_ids": [group[0].tolist() for group in groups],
        "rejected_ids": [group[1].tolist() for group in groups],
        "length": [max(len(s) for s in group) for group in groups],
    }
    shapes = Shapes(pad_token_id=workload.PAD)
    built = RewardTrainer(
        model=net,
        args=_config(size, spec),
        data_collator=shapes,
        train_dataset=Dataset.from_dict(rows),
        processing_class=_tokenizer(size.vocab_size),
        callbacks=[callback],
    )
    return built, shapes


def _config(size: Size, spec: dict[str, Any]) -> RewardConfig:
    """Everything off that is not training."""
    on_gpu = spec["device"] == "cuda"
    return RewardConfig(
        output_dir=spec["folder"],
        max_length=None,
        per_device_train_batch_size=spec["micro_batch"],
        gradient_accumulation_steps=size.batch // spec["micro_batch"],
        train_sampling_strategy=spec["sampling"],
        remove_unused_columns=False,
        num_train_epochs=FOREVER,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=False,
        disable_dropout=True,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=on_gpu,
    )


def _tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Tokens are ready; the trainer only asks for the padding token and the names of the inputs."""
    vocab = {PAD: workload.PAD, **{f"t{i}": i for i in range(vocab_size) if i != workload.PAD}}
    words = Tokenizer(models.WordLevel(vocab, unk_token=PAD))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=PAD)
