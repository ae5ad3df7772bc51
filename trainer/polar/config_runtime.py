"""The part of a run config that says where and how an attempt runs, whatever it trains."""

from dataclasses import dataclass
from typing import Literal

from polar.config_reader import need

Format = Literal["huggingface", "onnx"]


@dataclass(kw_only=True, frozen=True, slots=True)
class Run:
    """Which run and attempt this is."""

    namespace: str
    name: str
    uid: str
    attempt: int


@dataclass(kw_only=True, frozen=True, slots=True)
class Gang:
    """How many processes train together and where they meet."""

    workers: int
    processes_per_worker: int
    master_address: str
    master_port: int

    def __post_init__(self) -> None:
        need(self.workers >= 1, "workers", "at least 1", self.workers)
        need(self.processes_per_worker >= 1, "processesPerWorker", "at least 1", self.processes_per_worker)

    def world_size(self) -> int:
        """Number of training processes."""
        return self.workers * self.processes_per_worker


@dataclass(kw_only=True, frozen=True, slots=True)
class Telemetry:
    """Where progress is sent."""

    address: str
    token_path: str
    ca_path: str
    interval_seconds: int


@dataclass(kw_only=True, frozen=True, slots=True)
class S3:
    """A bucket of an S3-compatible object store; credentials come from the environment."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None


@dataclass(kw_only=True, frozen=True, slots=True)
class Checkpoint:
    """Where checkpoints go and which of them stay.

    One is saved after each of `keep_steps`, and after the first step at which the corpus tokens reach each of
    `keep_tokens`; those stay.
    """

    directory: str
    uri: str
    keep_last: int
    keep_best: int
    every_steps: int | None = None
    every_seconds: int | None = None
    mean_seconds_between_failures: int | None = None
    keep_steps: tuple[int, ...] = ()
    keep_tokens: tuple[int, ...] = ()
    s3: S3 | None = None

    def __post_init__(self) -> None:
        intervals = (self.every_steps, self.every_seconds, self.mean_seconds_between_failures)
        given = [interval for interval in intervals if interval is not None]
        one = "exactly one of everySteps, everySeconds and meanSecondsBetweenFailures"
        need(len(given) == 1, "everySteps", one, f"{len(given)} of them")
        need(given[0] >= 1, "everySteps", "at least 1", given[0])
        need(self.keep_last >= 1, "keepLast", "at least 1", self.keep_last)


@dataclass(kw_only=True, frozen=True, slots=True)
class Engine:
    """How the numbers are computed. `auto` is bf16 and compiled on a GPU, fp32 and not compiled on a CPU.

    sharding: none keeps a whole model on every device, full shards weights, gradients and optimizer over all devices
    (FSDP2), auto is none when the estimate fits one device. Activation checkpointing recomputes layers in the backward
    pass: about a third more computing for a fraction of the memory.
    """

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    sharding: Literal["auto", "none", "full"] = "auto"
    activation_checkpointing: bool = False
    compile: Literal["auto", "on", "off"] = "auto"


@dataclass(kw_only=True, frozen=True, slots=True)
class ResumeFrom:
    """A checkpoint of another run that is continued: weights, optimizer, place in the data, step."""

    path: str
    manifest_sha256: str | None = None


@dataclass(kw_only=True, frozen=True, slots=True)
class Watch:
    """What is watched while training. A hang timeout of 0 is automatic; hash_every_steps of 0 compares no hashes."""

    hang_timeout_seconds: int = 0
    hash_every_steps: int = 100

    def __post_init__(self) -> None:
        need(self.hang_timeout_seconds >= 0, "hangTimeoutSeconds", "at least 0", self.hang_timeout_seconds)
        need(self.hash_every_steps >= 0, "hashEverySteps", "at least 0", self.hash_every_steps)


@dataclass(kw_only=True, frozen=True, slots=True)
class Export:
    """Formats the best checkpoint is written in after the last step."""

    formats: tuple[Format, ...] = ()

    def __post_init__(self) -> None:
        once = len(set(self.formats)) == len(self.formats)
        need(once, "formats", "each format once", ", ".join(self.formats))
