import { parentPort, workerData } from 'node:worker_threads';
import type { DistanceJob } from './distances.js';
import { frechetDistance } from './frechet.js';
import { kernelInceptionDistance } from './kid.js';

const { name, a, b } = workerData as DistanceJob;
parentPort?.postMessage(name === 'fid' ? frechetDistance(a, b) : kernelInceptionDistance(a, b));
