// The node agent: joins this machine to the embedded cluster as a Node and runs its pods as host processes.
//
//   node local/src/node/main.ts --name local-1 --kubeconfig FILE --dir DIR --images FILE
//        --tls-cert FILE --tls-key FILE --client-ca FILE      the kubelet API: serving certificate (IP 127.0.0.1), CA of the API server's client
//        [--port 0] [--cpu 8] [--memory 16Gi] [--resource nvidia.com/gpu=8]...
//        [--provisioner-kubeconfig FILE]                      run the provisioner of storage class `local`, as an administrator
//        [--backoff-base-seconds 10] [--shutdown-grace-seconds 10]
//
// FILE of --kubeconfig holds the identity system:node:<name>. The format of --images is in images.ts. DIR is the agent's own:
// pods/, roots/, logs/, hosts/, volumes/, processes/, agent.json {pid, startTicks, port}. It prints one line "node agent ready: ..." on
// stdout once the Node is registered, logs to stderr, and on SIGTERM or SIGINT stops its pods first. It isolates nothing:
// a pod has the user's rights, the host's network and files; resource limits are accounting only.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startAgent } from './start.ts';
import { enterNamespace } from './namespace.ts';
import { logToStderr } from './log.ts';
import { killRecorded, startTicks } from './processes.ts';

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: 'local-1' },
    kubeconfig: { type: 'string' },
    dir: { type: 'string' },
    images: { type: 'string' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
    'client-ca': { type: 'string' },
    port: { type: 'string', default: '0' },
    cpu: { type: 'string' },
    memory: { type: 'string' },
    resource: { type: 'string', multiple: true, default: [] },
    'provisioner-kubeconfig': { type: 'string' },
    'backoff-base-seconds': { type: 'string', default: '10' },
    'shutdown-grace-seconds': { type: 'string', default: '10' },
  },
});

const need = (name: 'kubeconfig' | 'dir' | 'images' | 'tls-cert' | 'tls-key' | 'client-ca'): string => {
  const value = values[name];
  if (value === undefined) throw new Error(`--${name} is required`);
  return resolve(value);
};

const resources = (): Record<string, string> => {
  const extra = values.resource.map((text): [string, string] => {
    const [name, amount] = text.split('=');
    if (!name || !amount) throw new Error(`--resource: expected name=amount such as nvidia.com/gpu=8, got "${text}"`);
    return [name, amount];
  });
  return { ...(values.cpu !== undefined && { cpu: values.cpu }), ...(values.memory !== undefined && { memory: values.memory }), ...Object.fromEntries(extra) };
};

const main = async (): Promise<void> => {
  const dir = need('dir');
  const options = {
    name: values.name, kubeconfig: need('kubeconfig'), dir, images: need('images'), port: Number(values.port), resources: resources(),
    tls: { cert: need('tls-cert'), key: need('tls-key'), clientCA: need('client-ca') },
    backOffBaseMs: Number(values['backoff-base-seconds']) * 1000,
    ...(values['provisioner-kubeconfig'] !== undefined && { provisionerKubeconfig: resolve(values['provisioner-kubeconfig']) }),
  };
  enterNamespace();
  mkdirSync(dir, { recursive: true });
  for (const record of killRecorded(dir)) logToStderr('warn', 'ended a process an earlier agent left', { ...record });
  // one pod's trouble must not end the others, which die with this process
  process.on('uncaughtException', (error) => { logToStderr('error', 'unexpected error', { reason: error.stack ?? error.message }); });
  const agent = await startAgent(options, logToStderr);
  writeFileSync(join(dir, 'agent.json'), JSON.stringify({ pid: process.pid, startTicks: startTicks(process.pid), port: agent.port }));
  process.stdout.write(`node agent ready: node ${options.name}, kubelet API https://127.0.0.1:${agent.port}\n`);
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    void agent.stop(Number(values['shutdown-grace-seconds']) * 1000).finally(() => { process.exit(0); });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
};

main().catch((error: unknown) => {
  process.stderr.write(`node agent: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
