// Every name the operator puts on objects: label keys, field managers, ports and mount paths.

export const GROUP = 'polar.training';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** Kind of the run a child belongs to, PolarPretrain or PolarFinetune. */
export const LABEL_KIND = 'polar.training/kind';
/** Name of the run a child belongs to, cut to 63 characters; for people, never for decisions. */
export const LABEL_RUN = 'polar.training/run';
/** UID of the run a child belongs to: what children are found by. */
export const LABEL_RUN_UID = 'polar.training/run-uid';
/** Attempt of the run a child belongs to, 1 and up. */
export const LABEL_ATTEMPT = 'polar.training/attempt';
/** Name of the sweep that an object belongs to; for people, never for decisions. */
export const LABEL_SWEEP = 'polar.training/sweep';
/** UID of the sweep that a run or a ConfigMap of records belongs to: what they are found by. */
export const LABEL_SWEEP_UID = 'polar.training/sweep-uid';
/** On a run of a sweep: id of its point. */
export const LABEL_POINT = 'polar.training/point';
/** On a run of a sweep: its point as JSON. */
export const ANNOTATION_POINT = 'polar.training/point';
/** On a run of a sweep: which run of its point it is, 0 and up. */
export const ANNOTATION_RETRY = 'polar.training/retry';
/** On a run of a sweep: why the sweep stopped it for good. */
export const ANNOTATION_STOPPED = 'polar.training/stopped';
/** On an attempt's Job: metadata.generation of the run whose spec it was made from. */
export const ANNOTATION_GENERATION = 'polar.training/generation';
/** On a run: a new value asks for a verification of its checkpoints while no worker runs. */
export const ANNOTATION_VERIFY = 'polar.training/verify-checkpoints';
/** On a Job that looks after checkpoints and on its ConfigMap: task and key, as "gc/0123abcd". */
export const ANNOTATION_TASK = 'polar.training/registry-task';
/** On a run with checkpoint.deletionPolicy Delete, until its checkpoints are removed or that has failed for too long. */
export const FINALIZER = 'polar.training/checkpoints';
/** Set by Kubernetes on the pods of an Indexed Job. */
export const LABEL_COMPLETION_INDEX = 'batch.kubernetes.io/job-completion-index';

/** Field manager of spec-derived children and of the status fields that reconciling derives. */
export const MANAGER_OPERATOR = 'polar-operator';
/** Field manager of what trainers report: status.progress, validation, checkpoints, curve. */
export const MANAGER_INGEST = 'polar-ingest';

/** Audience of the projected token with which a trainer pod reports. */
export const TOKEN_AUDIENCE = 'polar-ingest.polar.training';
export const TRAINER_CONTAINER = 'trainer';
export const REGISTRY_CONTAINER = 'registry';
export const RENDEZVOUS_PORT = 29400;

export const PATH_CONFIG = '/etc/polar';
export const PATH_DATA = '/mnt/polar/data';
export const PATH_INIT = '/mnt/polar/init';
export const PATH_RESUME = '/mnt/polar/resume';
export const PATH_TOKENIZER = '/mnt/polar/tokenizer';
export const PATH_CHECKPOINTS = '/mnt/polar/checkpoints';
export const PATH_TOKEN = '/var/run/secrets/polar';
export const TERMINATION_LOG = '/dev/termination-log';
