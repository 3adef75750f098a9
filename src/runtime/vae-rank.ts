/** The program of a rank that runs a VAE alone. */
import { serveJobs } from './serve.js';
import { runVaeJob } from './vae-job.js';

serveJobs(runVaeJob);
