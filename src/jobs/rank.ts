/** The program of a rank process. */

import { serveJobs } from '../ranks/serve.js';
import { JobRunner } from './draw.js';

const runner = new JobRunner();

serveJobs(runner.run.bind(runner));
