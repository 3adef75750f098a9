/** The program of a rank that runs a VAE alone. */
import { serveJobs } from '../ranks/serve.js';
import { runVaeJob } from './vae.js';

serveJobs(runVaeJob);
