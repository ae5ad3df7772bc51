// kubectl polar sweep: what a PolarSweep has found so far.
import { CLUSTER_OPTIONS } from './cluster.ts';
import type { Command } from './command.ts';
import { outputOptions } from './output.ts';

export const SWEEP_FORMATS = ['table', 'wide', 'json', 'yaml', 'csv', 'svg', 'png'] as const;

export const SWEEP: Command = {
  name: 'sweep',
  summary: 'show a sweep\'s law, points and predictions',
  usage: 'sweep NAME [-n NAMESPACE] [options]',
  description: `
Shows what the operator has measured, fitted and predicted: numbers of laws and predictions are those of status.fits and
status.prediction. Points come from the sweep's ConfigMaps, so runs that are gone count too. -o csv writes points in a form
that "kubectl polar fit" reads: all that have a loss, or with --form and --x those that this law was fitted to.`,
  options: {
    ...CLUSTER_OPTIONS,
    form: { type: 'string', short: 'f', value: 'FORM', help: 'law to draw: power, offset or joint; default the first of the status' },
    x: { type: 'string', value: 'AXIS', help: 'law to draw: the one over params, tokens or flops' },
    watch: { type: 'boolean', short: 'w', help: 'show it again at every change, until it is over or Ctrl-C' },
    ...outputOptions(SWEEP_FORMATS),
  },
  examples: [
    'kubectl polar sweep demo',
    'kubectl polar sweep demo -n research --watch',
    'kubectl polar sweep demo --form power --x flops --out law.svg',
    'kubectl polar sweep demo -o csv | kubectl polar fit - --form joint --need loss=0.35',
    'kubectl polar sweep demo --form power --x flops -o csv | kubectl polar fit - --x flops',
  ],
  // What reads and draws a sweep is loaded when one is asked for.
  run: async (args, io) => (await import('./sweepShow.ts')).showSweep(args, io),
};
