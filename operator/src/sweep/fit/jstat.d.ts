// jstat ships no types: only what is used.
declare module 'jstat' {
  const jstat: {
    readonly jStat: {
      readonly studentt: { inv(p: number, degreesOfFreedom: number): number; cdf(x: number, degreesOfFreedom: number): number };
    };
  };
  export = jstat;
}
