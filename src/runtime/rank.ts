/** The program of a rank process. */
import { JobRunner } from './job.js';
import { serveJobs } from './serve.js';

const runner = new JobRunner();

serveJobs(runner.run.bind(runner));
