import { parentPort, workerData } from 'node:worker_threads';
import type { DistanceJob } from './distances.js';
import { distanceOfMoments, moments } from './frechet.js';
import { kernelInceptionDistance } from './kid.js';

const job = workerData as DistanceJob;
switch (job.kind) {
  case 'moments': {
    const result = moments(job.features);
    parentPort?.postMessage(result, [result.factor.buffer as ArrayBuffer]);
    break;
  }
  case 'frechet':
    parentPort?.postMessage(distanceOfMoments(job.a, job.b));
    break;
  case 'kernel':
    parentPort?.postMessage(kernelInceptionDistance(job.a, job.b));
    break;
}
