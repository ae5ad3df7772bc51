// The thread that fits: resamples of a sum law take seconds, in which leases, probes and trainers would wait.
import { parentPort, workerData } from 'node:worker_threads';
import { designFit, lawsOf } from './laws.ts';
import type { Answer, LawsRequest } from './laws.ts';

function tell(answer: Answer): void {
  parentPort?.postMessage(answer);
}

const request = workerData as LawsRequest;
if (request.design !== undefined) tell({ design: designFit(request) });
tell({ laws: lawsOf(request) });
