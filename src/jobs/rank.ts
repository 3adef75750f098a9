/** The program of a rank: it does the jobs that its parent names. */
import { serveJobs } from '../ranks/serve.js';
import { JobRunner } from './jobs.js';

const runner = new JobRunner();
serveJobs(runner.run);
// Most draw; what that needs is loaded while the parent plans. A failure is that of the job, which tries
// again.
runner.prepare('draw').catch(() => {});
