/** Observations or options that no law can be fitted to. `path` is the field, as in `observations[3].loss`. */
export class FitError extends Error {
  readonly path: string;
  readonly expected: string;
  readonly got: string;

  constructor(path: string, expected: string, got: string) {
    super(`${path}: expected ${expected}, got ${got}`);
    this.name = 'FitError';
    this.path = path;
    this.expected = expected;
    this.got = got;
  }
}
