// jobs.js - long work that the daemon does in the background, followed to its end.

import { get } from './api.js';

const ASK_MS = 250;

// Resolves when it is done; throws where it failed or was cancelled.
export async function followJob(id, progress = () => {}) {
  for (;;) {
    const job = await get(`/jobs/${id}`);
    progress(job);
    if (job.state === 'done') return job;
    if (job.state === 'failed' || job.state === 'cancelled') throw new Error(job.error ?? `The job ${job.state === 'failed' ? 'failed' : 'was cancelled'}.`);
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
}
