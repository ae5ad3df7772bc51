import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, copyFile, cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { loadModel } from './checkpoint.ts';
import type { Wrapper } from './encode.ts';
import { ClosedError, ModelError, QueueFullError, RequestError, ScoringError } from './errors.ts';
import { combine } from './references.ts';
import { openScorer, type Scorer, type ScorerOptions } from './score.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const GOLDEN = join(ROOT, 'testdata/onnx');
const PYTHON = join(ROOT, 'trainer/.venv/bin/python');
const CRASHING = new URL('testing/crashingWorker.ts', import.meta.url);

let folder: string;
let scorer: Scorer;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'polar-score-'));
  scorer = await openScorer({ folder: GOLDEN, workers: 2 });
});
after(async () => {
  await scorer.close();
  await rm(folder, { recursive: true });
});

/** Runs with a scorer of its own and closes it. */
async function using<T>(options: Partial<ScorerOptions>, body: (scorer: Scorer) => Promise<T>): Promise<T> {
  const own = await openScorer({ folder: GOLDEN, workers: 1, ...options });
  try {
    return await body(own);
  } finally {
    await own.close();
  }
}

async function copyOfGolden(name: string): Promise<string> {
  const copy = join(folder, name);
  await cp(GOLDEN, copy, { recursive: true });
  return copy;
}

const sequence = (length: number, seed = 0): number[] => Array.from({ length }, (_, at) => 4 + ((at * 31 + seed * 17 + Math.floor(at / 7) * seed) % 300));
const near = (got: readonly number[], wanted: readonly number[], by = 1e-5): void => {
  assert.equal(got.length, wanted.length);
  got.forEach((score, at) => { assert.ok(Math.abs(score - (wanted[at] ?? NaN)) < by, `${String(score)} is not ${String(wanted[at])} (${String(at)})`); });
};

describe('scores', () => {
  test('requests that come at once get the scores they would get alone, in any order and whatever they share', async () => {
    const stem = fc.array(fc.integer({ min: 4, max: 319 }), { minLength: 1, maxLength: 120 });
    const requests = fc.tuple(stem, stem, fc.array(fc.array(fc.tuple(fc.boolean(), stem), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 }))
      .map(([a, b, all]) => all.map((one) => one.map(([first, own]) => [...(first ? a : b), ...own])));
    await using({ sharing: false, runTokens: 1 }, async (unshared) => {
      await fc.assert(fc.asyncProperty(requests, async (batch) => {
        const alone = await unshared.scoreIds(batch.flat());
        const together = await Promise.all(batch.map((one) => scorer.scoreIds(one)));
        near(together.flat(), alone);
      }), { numRuns: 40, seed: 11 });
    });
  });

  test('a request cut into pieces is put together again', async () => {
    const sequences = Array.from({ length: 60 }, (_, at) => [...sequence(20 + (at % 3)), ...sequence(1 + (at % 9), at)]);
    const wanted = await scorer.scoreIds(sequences);
    near(await using({ pieceTokens: 40, runTokens: 16 }, (own) => own.scoreIds(sequences)), wanted);
  });

  test('no sequences, no scores', async () => { assert.deepEqual(await scorer.scoreIds([]), []); });

  test('several references give a score each, and one that the request chooses', async () => {
    const request = { prompt: 'river stone', references: ['lamp', 'stone lamp river'], candidates: ['river', 'lamp lamp', ''] };
    const all = await scorer.score([
      request, { ...request, combine: 'max' }, { ...request, combine: 'softmax' }, { ...request, references: ['lamp'] }, { ...request, references: ['stone lamp river'] },
    ]);
    const [byMean = [], byMax = [], bySoftmax = [], first = [], second = []] = all.map((one) => one.map(({ score }) => score));
    const pairs = first.map((score, at) => [score, second[at] ?? NaN]);
    near((all[0] ?? []).flatMap(({ references }) => references.map(({ score }) => score)), pairs.flat());
    near(byMean, pairs.map((scores) => combine(scores, 'mean')));
    near(byMax, pairs.map((scores) => Math.max(...scores)));
    near(bySoftmax, pairs.map((scores) => combine(scores, 'softmax')));
  });

  test('says what was cut', async () => {
    const long = 'river stone lamp '.repeat(1500);
    const [scored = []] = await scorer.score([{ prompt: 'river', references: ['lamp'], candidates: ['lamp', long] }, { prompt: long, references: ['lamp'], candidates: ['lamp'] }]);
    assert.deepEqual(scored.map(({ truncated }) => truncated.candidate), [false, true]);
    const [[cut] = []] = await scorer.score([{ prompt: long, references: [long], candidates: ['lamp'] }]);
    assert.equal(cut?.truncated.prompt, true);
    assert.equal(cut.truncated.reference, true);
  });
});

test('softmax lies between mean and maximum and moves with a constant', () => {
  const scores = fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 6 });
  fc.assert(fc.property(scores, fc.double({ min: -900, max: 900, noNaN: true }), (all, more) => {
    const found = combine(all, 'softmax');
    assert.ok(found >= combine(all, 'mean') - 1e-9 && found <= Math.max(...all) + 1e-9);
    near([combine(all.map((score) => score + more), 'softmax')], [found + more], 1e-6);
  }));
});

test('texts get the scores that the trainer gives them, from an export of its checkpoint', { skip: existsSync(PYTHON) ? false : 'needs the trainer (make setup-python)' }, async () => {
  const rows: { prompt: string; reference: string; candidates: string[]; wrapper: Wrapper }[] = [
    { prompt: 'river stone', reference: 'stone lamp', candidates: ['lamp', 'river river', 'stone', ''], wrapper: 'sft' },
    { prompt: 'river '.repeat(60), reference: 'stone '.repeat(30), candidates: ['lamp '.repeat(40), 'x'], wrapper: 'sft' },
    { prompt: 'a <|reward|> b', reference: '', candidates: ['lamp', 'lamp'], wrapper: 'pretrain' },
  ];
  const script = [
    'import json, sys', 'from pathlib import Path', 'import torch', 'torch.set_num_threads(1)', 'from checkpoints import save_checkpoint',
    'from polar.onnx_export import export_onnx', 'from polar.score import score_rows', 'from polar.scorer import Scorer', 'from polar.rows import Row',
    'root = Path(sys.argv[1])', 'saved = save_checkpoint(root / "run")', 'export_onnx(saved, root / "exported")',
    'rows = [Row(Path("x"), n, v) for n, v in enumerate(json.loads(sys.argv[2]))]',
    'print(json.dumps([r["scores"] for r in score_rows(Scorer(saved, torch.device("cpu")), rows, None)]))',
  ].join('\n');
  const printed = execFileSync(PYTHON, ['-c', script, folder, JSON.stringify(rows)], { cwd: join(ROOT, 'trainer'), env: { ...process.env, PYTHONPATH: 'tests:.' }, encoding: 'utf8' });
  const wanted = JSON.parse(printed) as number[][];
  await using({ folder: join(folder, 'exported') }, async (own) => {
    assert.equal(own.model.step, 5);
    assert.equal(own.model.limits.maxLength, 60);
    const got = await own.score(rows.map(({ reference, ...row }) => ({ ...row, references: [reference] })));
    near(got.flat().map(({ score }) => score), wanted.flat(), 1e-4);
    const cut = got.map((one) => one[0]?.truncated);
    assert.deepEqual(cut.slice(0, 2), [{ prompt: false, reference: false, candidate: false }, { prompt: true, reference: true, candidate: true }]);
  });
});

describe('refuses', () => {
  test('sequences that are too long, empty or hold no token ids, naming the place', async () => {
    await assert.rejects(scorer.scoreIds([[5], new Array<number>(1001).fill(5)]), (error) => error instanceof RequestError && /sequences\[1\]: expected 1 to 1000 tokens, got 1001/.test(error.message));
    await assert.rejects(scorer.scoreIds([[]]), RequestError);
    for (const id of [320, -1, 0.5, NaN, Infinity]) await assert.rejects(scorer.scoreIds([[5, id]]), (error) => error instanceof RequestError && error.message.includes('sequences[0][1]'));
  });

  test('a request without a reference, and text that is no Unicode', async () => {
    await assert.rejects(scorer.score([{ prompt: 'x', references: [], candidates: ['y'] }]), RequestError);
    await assert.rejects(scorer.score([{ prompt: 'x', references: ['z'], candidates: ['\ud800'] }]), (error) => error instanceof RequestError && /requests\[0\]: .*lone surrogate/.test(error.message));
  });

  test('more than may wait, and takes requests again when there is room', async () => {
    await using({ waitingTokens: 1000 }, async (own) => {
      await assert.rejects(own.scoreIds([sequence(600), sequence(600, 1)]), RequestError);
      const running = own.scoreIds([sequence(900)]);
      const waiting = own.scoreIds([sequence(900, 1)]);
      await assert.rejects(own.scoreIds([sequence(900, 2)]), (error) => error instanceof QueueFullError && /900 tokens of 1 requests wait/.test(error.message));
      await Promise.all([running, waiting]);
      assert.equal((await own.scoreIds([sequence(900, 2)])).length, 1);
      assert.deepEqual(own.stats(), { requests: 0, tokens: 0, workers: 1, idle: 1, restarts: 0 });
    });
  });

  test('to give a number that is none: a model whose weights are broken', async () => {
    const copy = await copyOfGolden('nan');
    const data = join(copy, 'model.onnx.data');
    const bytes = await readFile(data);
    bytes.fill(0xff, bytes.length - 64); // the end of the reward head
    await writeFile(data, bytes);
    await assert.rejects(loadModel(copy), (error) => error instanceof ModelError && /model\.onnx\.data: expected SHA-256 [0-9a-f]{64}, got/.test(error.message));
    const facts = JSON.parse(await readFile(join(copy, 'polar.json'), 'utf8')) as { files: Record<string, string> };
    const { createHash } = await import('node:crypto');
    facts.files['model.onnx.data'] = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(copy, 'polar.json'), JSON.stringify(facts));
    await using({ folder: copy }, async (own) => {
      await assert.rejects(own.scoreIds([[5, 6], [7]]), (error) => error instanceof ScoringError && /sequence [01] of 2: the model gave NaN/.test(error.message));
    });
  });

  test('folders that are damaged, incomplete or of an older export', async () => {
    await assert.rejects(openScorer({ folder: join(folder, 'nowhere') }), (error) => error instanceof ModelError && /polar\.json: cannot be read/.test(error.message));
    const copy = await copyOfGolden('old');
    await copyFile(join(copy, 'tokenizer.json'), join(copy, 'model.onnx'));
    await assert.rejects(openScorer({ folder: copy }), /model\.onnx: expected SHA-256/);
    await writeFile(join(copy, 'polar.json'), '{"formatVersion": 1}');
    await assert.rejects(openScorer({ folder: copy }), (error) => error instanceof ModelError && /export the checkpoint again/.test(error.message));
    await writeFile(join(copy, 'polar.json'), '{');
    await assert.rejects(openScorer({ folder: copy }), (error) => error instanceof ModelError && /not JSON/.test(error.message));
  });
});

describe('goes on', () => {
  test('not at all when its threads cannot start: it says so', async () => {
    await assert.rejects(openScorer({ folder: GOLDEN, workers: 2, script: new URL('testing/nowhere.ts', import.meta.url) }), (error) => error instanceof ScoringError && /could not start.*nowhere/.test(error.message));
  });

  test('when a thread ends: its request fails, the others are scored, and another thread comes', async () => {
    const crash = [...sequence(30), 319, 318, 319];
    await using({ script: CRASHING }, async (own) => {
      const wanted = await scorer.scoreIds([sequence(40), sequence(50, 1)]);
      const first = own.scoreIds([sequence(40)]);
      const bad = own.scoreIds([crash]);
      const last = own.scoreIds([sequence(50, 1)]);
      const outcome = bad.catch((error: unknown) => error);
      near([...await first, ...await last], wanted);
      const error = await outcome;
      assert.ok(error instanceof ScoringError && /ended with code 9/.test(error.message), String(error));
      near(await own.scoreIds([sequence(40)]), wanted.slice(0, 1));
      assert.ok(own.stats().restarts >= 1);
    });
  });

  test('when a request is given up, before and while it is computed', async () => {
    await using({}, async (own) => {
      const early = AbortSignal.abort(new Error('too late'));
      await assert.rejects(own.scoreIds([[5]], early), /too late/);
      const controllers = [new AbortController(), new AbortController()];
      const given = controllers.map((controller, at) => own.scoreIds([sequence(900, at)], controller.signal));
      const kept = own.scoreIds([sequence(90)]);
      for (const controller of controllers) controller.abort(new Error('gone'));
      for (const one of given) await assert.rejects(one, /gone/);
      assert.equal((await kept).length, 1);
      assert.equal(own.stats().tokens, 0);
    });
  });

  test('until the files of the model change under it: then nothing is scored with them', async () => {
    const copy = await copyOfGolden('changing');
    await using({ folder: copy }, async (own) => {
      await own.scoreIds([[5]]);
      await appendFile(join(copy, 'model.onnx.data'), 'x');
      await assert.rejects(own.scoreIds([[5]]), (error) => error instanceof ModelError && /model\.onnx\.data: changed since it was loaded/.test(error.message));
      await copyFile(join(GOLDEN, 'model.onnx.data'), join(copy, 'other'));
      await rename(join(copy, 'other'), join(copy, 'model.onnx.data'));
      await assert.rejects(own.scoreIds([[5]]), ModelError);
    });
  });

  test('to its end when it is closed: what waits is refused, and so is what comes later', async () => {
    const own = await openScorer({ folder: GOLDEN, workers: 1 });
    const waiting = [0, 1, 2].map((seed) => own.scoreIds([sequence(900, seed)]).catch((error: unknown) => error));
    await own.close();
    for (const one of waiting) assert.ok((await one) instanceof ClosedError);
    await assert.rejects(own.scoreIds([[5]]), ClosedError);
  });
});
