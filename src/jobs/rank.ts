/** The program of a rank: it does the jobs that its parent names. */
import { serveJobs } from '../ranks/serve.js';
import { JobRunner } from './jobs.js';

serveJobs(new JobRunner().run);
