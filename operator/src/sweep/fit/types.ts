/** The laws: `power` L = b X^a; `offset` L = E + b X^-a; `joint` L = E + A N^-alpha + B D^-beta. */
export type Form = 'power' | 'offset' | 'joint';

/** X of the forms power and offset. */
export type Axis = 'parameters' | 'tokens' | 'flops';

/** One finished run: its loss and what it was trained with. A form needs its own columns only; joint takes tokens from flops / (6 parameters). */
export interface Observation {
  readonly parameters?: number;
  readonly tokens?: number;
  readonly flops?: number;
  readonly loss: number;
  readonly label?: string;
}

/** A parameter of a law with its standard error and its 95 % interval (or the one of `confidence`). */
export interface Estimate {
  readonly name: string;
  readonly value: number;
  readonly standardError: number;
  readonly lower: number;
  readonly upper: number;
}

/** What to fit. Huber's delta, resamples and the seed concern offset and joint; power is ordinary least squares with t intervals. */
export interface FitOptions {
  readonly form: Form;
  /** Default parameters; not used by joint. */
  readonly axis?: Axis;
  /** Where Huber's loss on log residuals turns linear; default 0.001. */
  readonly delta?: number;
  /** Resamples; 0 gives asymptotic intervals and no samples. Default 1000. */
  readonly bootstrap?: number;
  /** Of the resamples; default 0. */
  readonly seed?: number;
  /** Default 0.95. */
  readonly confidence?: number;
}

/** Smallest and largest value among the observations. */
export interface Span {
  readonly min: number;
  readonly max: number;
}

/** What the fit without the largest size says of the largest size: `error` is the mean of |predicted / measured - 1|, `bias` of the signed one. */
export interface Extrapolation {
  readonly heldOut: number;
  readonly error: number;
  readonly bias: number;
}

export type WarningCode =
  | 'SpanTooSmall' | 'TooFewPoints' | 'OffsetAtZero' | 'OffsetNotResolved' | 'ExponentIncludesZero' | 'LossRises'
  | 'Curvature' | 'Outliers' | 'Collinear' | 'FormRejected' | 'ExtrapolatesBadly' | 'ManyOptima' | 'NoVariation';

/** A law fitted to observations. Plain data: it survives JSON. */
export interface Fit {
  readonly form: Form;
  /** Absent for joint. */
  readonly axis?: Axis;
  /** In the order of `samples`: power b, a; offset E, b, a; joint E, A, B, alpha, beta. */
  readonly estimates: readonly Estimate[];
  /** What was minimised, a plain sum: squares (power) or Huber's loss (offset, joint) of the residuals of ln loss. */
  readonly objective: number;
  /** Of ln loss. */
  readonly r2: number;
  readonly points: number;
  readonly degreesOfFreedom: number;
  readonly confidence: number;
  readonly delta?: number;
  /** ln measured - ln fitted, in the order of the observations. */
  readonly residuals: readonly number[];
  /** Scatter of one run about the law: standard deviation of ln loss. */
  readonly scatter: number;
  readonly range: Readonly<Partial<Record<Axis, Span>>> & { readonly loss: Span };
  readonly extrapolation?: Extrapolation;
  /** Sentences; `codes` has the code of each, in the same order. */
  readonly warnings: readonly string[];
  readonly codes: readonly WarningCode[];
  /** Parameter vectors that the data admit (natural scale, order of `estimates`): the intervals of estimates and predictions come from them. */
  readonly samples: readonly (readonly number[])[];
  /** Covariance of the free parameters in log space (power: ln b, a; offset: ln E, ln b, a; joint: ln E, ln A, ln B, alpha, beta; a row of zeros for an E at 0). */
  readonly covariance: readonly (readonly number[])[];
}

/** A loss with the interval of the law there (`lower`, `upper`) and the interval of one run there, which adds the scatter of runs. */
export interface Prediction {
  readonly loss: number;
  readonly lower: number;
  readonly upper: number;
  readonly runLower: number;
  readonly runUpper: number;
}

/** An amount with its interval; no `upper` when the interval is open: part of what the data admit never gets there. */
export interface Amount {
  readonly value: number;
  readonly lower: number;
  readonly upper?: number;
}

/** What a loss needs. Power and offset give their axis; joint gives all three, on the frontier of 6 N D unless parameters or tokens are given. */
export interface Needed {
  readonly parameters?: Amount;
  readonly tokens?: Amount;
  readonly flops?: Amount;
}

/** Where a law is asked: the columns its form needs. */
export interface At {
  readonly parameters?: number;
  readonly tokens?: number;
  readonly flops?: number;
}

/** The loss of one run while it trains. */
export interface Curve {
  readonly parameters: number;
  readonly label?: string;
  readonly points: readonly { readonly flops: number; readonly loss: number }[];
}
