// Every limit of ingest in one place. docs/telemetry.md lists them.

export interface Limits {
  /** Least time between two writes of one run's status. */
  readonly minWriteIntervalMs: number;
  /** Status writes of this process per second, over all runs. */
  readonly writesPerSecond: number;
  /** Status writes under way at once. */
  readonly writesAtOnce: number;
  /** Bytes of reports that are taken in but not kept yet, of a run and of the process; beyond, streams are not read. */
  readonly pendingBytesPerRun: number;
  readonly pendingBytes: number;
  /** Of a pod: messages and bytes per second, and how many at once after a pause. Faster streams are read more slowly. */
  readonly messagesPerSecond: number;
  readonly messageBurst: number;
  readonly bytesPerSecond: number;
  readonly byteBurst: number;
  /** Streams of a pod; one more ends its oldest. */
  readonly streamsPerPod: number;
  /** Messages of a stream that wait for their acknowledgement. */
  readonly messagesInFlight: number;
  /** Identity checks at once and waiting: of tokens that name a pod of a run, and of all others. */
  readonly knownReviews: Lane;
  readonly unknownReviews: Lane;
  /** Refused tokens per minute from an address before its tokens count among the others, and before they are refused unread. */
  readonly suspectAfter: number;
  readonly blockedAfter: number;
  /** How long what a token proved is believed, and for how long a refusal is repeated. */
  readonly acceptedMs: number;
  readonly refusedMs: number;
  /** Connections that have not yet opened the stream of a known trainer: in all, of one address, and for how long. */
  readonly unprovenConnections: number;
  readonly unprovenPerAddress: number;
  readonly unprovenMs: number;
  readonly connections: number;
  /** Connections that the kernel holds until they are accepted; never more than its own limit, net.core.somaxconn. */
  readonly unacceptedConnections: number;
}

export interface Lane {
  readonly atOnce: number;
  readonly waiting: number;
}

export const LIMITS: Limits = {
  minWriteIntervalMs: 1000,
  // A write of a full status takes the API server 20 to 40 ms of processor time: this is one to two of its cores.
  writesPerSecond: 50,
  writesAtOnce: 16,
  pendingBytesPerRun: 2 << 20,
  pendingBytes: 64 << 20,
  messagesPerSecond: 20,
  messageBurst: 50,
  bytesPerSecond: 512 << 10,
  byteBurst: 4 << 20,
  streamsPerPod: 2,
  messagesInFlight: 512,
  knownReviews: { atOnce: 24, waiting: 4096 },
  unknownReviews: { atOnce: 4, waiting: 64 },
  suspectAfter: 5,
  blockedAfter: 60,
  acceptedMs: 20_000,
  refusedMs: 5000,
  unprovenConnections: 2048,
  unprovenPerAddress: 512,
  unprovenMs: 20_000,
  connections: 16_384,
  // When it is full the kernel drops connections: trainers wait seconds for their next try, and of callers that say
  // nothing some believe for ever to be connected. Node asks for 511.
  unacceptedConnections: 4096,
};
