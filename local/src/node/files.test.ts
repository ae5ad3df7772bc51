// The parts of the agent that write files: logs, payload volumes, skeleton roots, image maps, kubeconfigs, process records.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ImageError, findImage, imageMap } from './images.ts';
import { readKubeconfig } from './kubeconfig.ts';
import { ContainerLog, logTail, readLog } from './logs.ts';
import type { LogLine } from './logs.ts';
import { killRecorded, recordProcess, startTicks } from './processes.ts';
import { quantity } from './quantity.ts';
import { logQuery, logText } from './server.ts';
import { buildRoot, fstab } from './skeleton.ts';
import { writePayload } from './volumes/payload.ts';

const dir = mkdtempSync(join(tmpdir(), 'polar-node-'));
after(() => { rmSync(dir, { recursive: true, force: true }); });

describe('a container log', () => {
  it('keeps lines whole over chunks and ends with an unfinished one', () => {
    const log = new ContainerLog(join(dir, 'log', '0.log'));
    const heard: (string | undefined)[] = [];
    log.follow((line) => heard.push(line?.text));
    for (const chunk of ['a\nb', 'c\n', 'caf\u00e9'.slice(0, 3)]) log.write('stdout', Buffer.from(chunk));
    const accented = Buffer.from('é');
    log.write('stdout', accented.subarray(0, 1));
    log.write('stdout', accented.subarray(1));
    log.close();
    assert.deepEqual(readLog(log.path).map((line) => line.text), ['a', 'bc', 'café']);
    assert.deepEqual(heard, ['a', 'bc', 'café', undefined]);
    assert.equal(logTail(log.path), 'a\nbc\ncafé\n');
  });

  it('never takes more than two files of ten mebibytes', () => {
    const log = new ContainerLog(join(dir, 'big', '0.log'));
    const chunk = Buffer.from(`${'x'.repeat(1023)}\n`.repeat(1024));
    for (let index = 0; index < 35; index += 1) log.write('stdout', chunk);
    log.close();
    const sizes = readdirSync(join(dir, 'big')).map((name) => statSync(join(dir, 'big', name)).size);
    assert.equal(sizes.length, 2);
    assert.ok(sizes.every((size) => size < 12 * 2 ** 20), String(sizes));
  });

  it('answers what kubectl logs asks', () => {
    const lines: LogLine[] = [1, 2, 3].map((n) => ({ time: `2026-01-01T00:00:0${n}.000Z`, stream: n === 2 ? 'stderr' : 'stdout', text: `l${n}`, full: true }));
    const now = Date.parse('2026-01-01T00:00:04Z');
    const ask = (query: string): string => logText(lines, logQuery(new URLSearchParams(query), now));
    assert.equal(ask(''), 'l1\nl2\nl3\n');
    assert.equal(ask('tailLines=1'), 'l3\n');
    assert.equal(ask('tailLines=0'), '');
    assert.equal(ask('sinceSeconds=2'), 'l2\nl3\n');
    assert.equal(ask('limitBytes=4'), 'l1\nl');
    assert.equal(ask('stream=Stderr&timestamps=true'), '2026-01-01T00:00:02.000Z l2\n');
  });
});

describe('a payload volume', () => {
  it('switches to new content at once and drops what is gone', () => {
    const volume = join(dir, 'payload');
    const file = (text: string) => ({ data: Buffer.from(text), mode: 0o644 });
    writePayload(volume, new Map([['a', file('1')], ['deep/b', file('2')]]));
    assert.equal(readFileSync(join(volume, 'deep/b'), 'utf8'), '2');
    writePayload(volume, new Map([['a', file('3')]]));
    assert.equal(readFileSync(join(volume, 'a'), 'utf8'), '3');
    assert.deepEqual(readdirSync(volume).filter((name) => !name.startsWith('..')), ['a']);
    assert.equal(readdirSync(volume).length, 3);
  });
});

describe('a skeleton root', () => {
  it('makes mount points the host lacks and leaves the host alone', () => {
    const root = join(dir, 'root');
    const source = join(dir, 'source');
    mkdirSync(source);
    buildRoot(root, [{ source, target: '/etc/polar-unit/x', readOnly: true }], [{ target: '/etc/hosts', link: '/.polar/hosts' }]);
    assert.ok(statSync(join(root, 'etc/polar-unit/x')).isDirectory());
    assert.ok(lstatSync(join(root, 'etc/hosts')).isSymbolicLink());
    assert.ok(!existsSync('/etc/polar-unit'));
    assert.equal(readFileSync(`${root}.volumes`, 'utf8'), `${source} ${root}/etc/polar-unit/x none rbind,ro 0 0\n`);
    assert.ok(!readFileSync(`${root}.base`, 'utf8').includes('/proc '));
  });

  it('makes a nested mount point inside the outer volume', () => {
    const outer = join(dir, 'outer');
    mkdirSync(outer);
    buildRoot(join(dir, 'root2'), [{ source: outer, target: '/polar-unit', readOnly: false }, { source: outer, target: '/polar-unit/in/ner', readOnly: false }], []);
    assert.ok(statSync(join(outer, 'in/ner')).isDirectory());
  });

  it('escapes names with spaces in the fstab', () => {
    assert.equal(fstab('/r', [{ source: '/a b', target: '/c\td', readOnly: false }]), '/a\\040b /r/c\\011d none rbind 0 0\n');
  });
});

describe('the image map', () => {
  it('finds an exact name before a name without tag', () => {
    const image = (mark: string) => ({ path: [mark], env: {} });
    const table = { 'r:5000/a': image('any'), 'r:5000/a:2': image('two') };
    assert.deepEqual(findImage(table, 'r:5000/a:2').path, ['two']);
    assert.deepEqual(findImage(table, 'r:5000/a:1').path, ['any']);
    assert.deepEqual(findImage(table, `r:5000/a@sha256:${'0'.repeat(64)}`).path, ['any']);
    assert.throws(() => findImage(table, 'r:5000/b'), (error: Error) => error instanceof ImageError && /"r:5000\/b".*known images: r:5000\/a, r:5000\/a:2/.test(error.message));
  });

  it('is read again when the file changes, and names what is wrong in it', () => {
    const file = join(dir, 'images.json');
    const image = imageMap(file);
    assert.throws(() => image('a'), /missing/);
    writeFileSync(file, '{"a": {"path": ["bin"]}}');
    assert.deepEqual(image('a').path, [join(dir, 'bin')]);
    writeFileSync(file, '{"a": {"path": "bin"}} ');
    assert.throws(() => image('a'), /"a"\.path must be a list of strings/);
    writeFileSync(file, '{"a"');
    assert.throws(() => image('a'), /not JSON/);
  });
});

describe('small readers', () => {
  it('reads a kubeconfig with inline data, and names a context that leads nowhere', () => {
    const file = join(dir, 'kubeconfig');
    const write = (context: string): void => {
      writeFileSync(file, JSON.stringify({
        'current-context': context, contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
        clusters: [{ name: 'k', cluster: { server: 'https://127.0.0.1:6443', 'certificate-authority-data': Buffer.from('CA').toString('base64') } }],
        users: [{ name: 'u', user: { token: 't' } }],
      }));
    };
    write('c');
    const access = readKubeconfig(file);
    assert.deepEqual([access.server.port, access.ca?.toString(), access.token], ['6443', 'CA', 't']);
    write('other');
    assert.throws(() => readKubeconfig(file), /current-context.*"other"/);
  });

  it('reads quantities', () => {
    const wants: [string, number][] = [['500m', 0.5], ['2', 2], ['64Mi', 67108864], ['1e3', 1000], ['1E', 1e18], ['1.5Gi', 1610612736]];
    for (const [text, want] of wants) assert.equal(quantity(text), want, text);
    for (const text of ['', 'x', '1Zi', '1 Gi']) assert.throws(() => quantity(text), RangeError, text);
  });

  it('kills a recorded process, but not another one that got its pid', async () => {
    const victim = spawn('sleep', ['100']);
    const ended = new Promise((resolve) => victim.once('exit', resolve));
    const pid = victim.pid ?? 0;
    recordProcess(join(dir, 'agent'), pid, 'victim');
    writeFileSync(join(dir, 'agent', 'processes', '1.json'), JSON.stringify({ pid: process.pid, startTicks: '1', what: 'somebody else' }));
    assert.deepEqual(killRecorded(join(dir, 'agent')).map((record) => record.what), ['victim']);
    await ended;
    assert.equal(startTicks(999_999_999), undefined);
  });
});
