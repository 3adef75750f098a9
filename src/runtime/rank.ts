/** The program of a rank process. */
import { runJob } from './job.js';
import { serveJobs } from './serve.js';

serveJobs(runJob);
