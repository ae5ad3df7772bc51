from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportRequest(_message.Message):
    __slots__ = ("run_uid", "attempt", "seq", "points", "progress", "validation", "checkpoints", "resumed_from_step", "final")
    RUN_UID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FROM_STEP_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    run_uid: str
    attempt: int
    seq: int
    points: _containers.RepeatedCompositeFieldContainer[Point]
    progress: Progress
    validation: Validation
    checkpoints: Checkpoints
    resumed_from_step: int
    final: bool
    def __init__(self, run_uid: _Optional[str] = ..., attempt: _Optional[int] = ..., seq: _Optional[int] = ..., points: _Optional[_Iterable[_Union[Point, _Mapping]]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., validation: _Optional[_Union[Validation, _Mapping]] = ..., checkpoints: _Optional[_Union[Checkpoints, _Mapping]] = ..., resumed_from_step: _Optional[int] = ..., final: _Optional[bool] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("step", "tokens", "train_loss", "val_loss", "val_accuracy")
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_FIELD_NUMBER: _ClassVar[int]
    VAL_LOSS_FIELD_NUMBER: _ClassVar[int]
    VAL_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    step: int
    tokens: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    def __init__(self, step: _Optional[int] = ..., tokens: _Optional[int] = ..., train_loss: _Optional[float] = ..., val_loss: _Optional[float] = ..., val_accuracy: _Optional[float] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "step", "total_steps", "tokens", "train_loss", "train_accuracy", "tokens_per_second", "eta_seconds", "parameters", "parameters_without_embedding", "computed_tokens", "flops", "mfu", "data_wait_share", "straggler_rank", "train_seconds", "save_seconds", "checkpoint_every_seconds")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_LOSS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_WITHOUT_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    MFU_FIELD_NUMBER: _ClassVar[int]
    DATA_WAIT_SHARE_FIELD_NUMBER: _ClassVar[int]
    STRAGGLER_RANK_FIELD_NUMBER: _ClassVar[int]
    TRAIN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SAVE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    step: int
    total_steps: int
    tokens: int
    train_loss: float
    train_accuracy: float
    tokens_per_second: float
    eta_seconds: int
    parameters: int
    parameters_without_embedding: int
    computed_tokens: int
    flops: float
    mfu: float
    data_wait_share: float
    straggler_rank: int
    train_seconds: float
    save_seconds: float
    checkpoint_every_seconds: float
    def __init__(self, stage: _Optional[str] = ..., step: _Optional[int] = ..., total_steps: _Optional[int] = ..., tokens: _Optional[int] = ..., train_loss: _Optional[float] = ..., train_accuracy: _Optional[float] = ..., tokens_per_second: _Optional[float] = ..., eta_seconds: _Optional[int] = ..., parameters: _Optional[int] = ..., parameters_without_embedding: _Optional[int] = ..., computed_tokens: _Optional[int] = ..., flops: _Optional[float] = ..., mfu: _Optional[float] = ..., data_wait_share: _Optional[float] = ..., straggler_rank: _Optional[int] = ..., train_seconds: _Optional[float] = ..., save_seconds: _Optional[float] = ..., checkpoint_every_seconds: _Optional[float] = ...) -> None: ...

class Validation(_message.Message):
    __slots__ = ("step", "seen_policies", "unseen_policies", "baseline_seen_accuracy", "baseline_unseen_accuracy")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SEEN_POLICIES_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_POLICIES_FIELD_NUMBER: _ClassVar[int]
    BASELINE_SEEN_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    BASELINE_UNSEEN_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    step: int
    seen_policies: Score
    unseen_policies: Score
    baseline_seen_accuracy: float
    baseline_unseen_accuracy: float
    def __init__(self, step: _Optional[int] = ..., seen_policies: _Optional[_Union[Score, _Mapping]] = ..., unseen_policies: _Optional[_Union[Score, _Mapping]] = ..., baseline_seen_accuracy: _Optional[float] = ..., baseline_unseen_accuracy: _Optional[float] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("pairs", "loss", "loss_standard_error", "accuracy", "accuracy_lower", "accuracy_upper")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    LOSS_STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_LOWER_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_UPPER_FIELD_NUMBER: _ClassVar[int]
    pairs: int
    loss: float
    loss_standard_error: float
    accuracy: float
    accuracy_lower: float
    accuracy_upper: float
    def __init__(self, pairs: _Optional[int] = ..., loss: _Optional[float] = ..., loss_standard_error: _Optional[float] = ..., accuracy: _Optional[float] = ..., accuracy_lower: _Optional[float] = ..., accuracy_upper: _Optional[float] = ...) -> None: ...

class Checkpoints(_message.Message):
    __slots__ = ("items", "best_step")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    BEST_STEP_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    best_step: int
    def __init__(self, items: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., best_step: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("step", "path", "manifest_sha256", "val_loss", "tokens", "completed_at")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    VAL_LOSS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    step: int
    path: str
    manifest_sha256: str
    val_loss: float
    tokens: int
    completed_at: str
    def __init__(self, step: _Optional[int] = ..., path: _Optional[str] = ..., manifest_sha256: _Optional[str] = ..., val_loss: _Optional[float] = ..., tokens: _Optional[int] = ..., completed_at: _Optional[str] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("attempt", "acked_seq", "command", "accepted_seq")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_SEQ_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    acked_seq: int
    command: Command
    accepted_seq: int
    def __init__(self, attempt: _Optional[int] = ..., acked_seq: _Optional[int] = ..., command: _Optional[_Union[Command, _Mapping]] = ..., accepted_seq: _Optional[int] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("save_and_stop", "keep_steps")
    SAVE_AND_STOP_FIELD_NUMBER: _ClassVar[int]
    KEEP_STEPS_FIELD_NUMBER: _ClassVar[int]
    save_and_stop: bool
    keep_steps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, save_and_stop: _Optional[bool] = ..., keep_steps: _Optional[_Iterable[int]] = ...) -> None: ...
