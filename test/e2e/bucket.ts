// A real S3 server with one bucket, for runs of the embedded cluster.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts, isListening } from '../../local/src/controlplane/ports.ts';
import { moduleProgram } from '../../local/src/moduleProgram.ts';
import { versitygw } from '../../local/src/versitygw.ts';

export const KEYS = { AWS_ACCESS_KEY_ID: 'tester', AWS_SECRET_ACCESS_KEY: 'not-a-secret' };
export const BUCKET = 'models';

export interface Bucket {
  readonly endpoint: string;
  /** Keys of all objects. */
  keys(): readonly string[];
  read(key: string): Buffer;
  stop(): void;
}

const startServer = (program: string, folder: string, port: number): ChildProcess => {
  const [data, attributes, users] = ['objects', 'attributes', 'users'].map((name) => join(folder, name)) as [string, string, string];
  for (const path of [join(data, BUCKET), attributes, users]) mkdirSync(path, { recursive: true });
  const env = { ...process.env, ROOT_ACCESS_KEY: KEYS.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: KEYS.AWS_SECRET_ACCESS_KEY };
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, '--port', `127.0.0.1:${port}`, '--iam-dir', users, 'posix', '--sidecar', attributes, data], { stdio: 'ignore', env });
};

export const startBucket = async (): Promise<Bucket> => {
  const [program, [port = 0]] = [await moduleProgram(versitygw), await freePorts(1)];
  const folder = mkdtempSync(join(tmpdir(), 'polar-s3-'));
  const server = startServer(program, folder, port);
  for (let tries = 0; !(await isListening(port)); tries += 1) {
    if (tries > 400) throw new Error('the S3 server does not answer');
    await sleep(50);
  }
  const objects = join(folder, 'objects', BUCKET);
  return {
    endpoint: `http://127.0.0.1:${port}`,
    keys: () => readdirSync(objects, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name).slice(objects.length + 1)),
    read: (key) => readFileSync(join(objects, key)),
    stop: () => { server.kill('SIGKILL'); rmSync(folder, { recursive: true, force: true }); },
  };
};
