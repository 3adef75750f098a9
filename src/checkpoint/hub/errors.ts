import { HubApiError } from '@huggingface/hub';
import { DistriError, toError } from '../../base/errors.js';
import { abbreviate } from '../../base/quote.js';
import type { RepositoryKind } from './cache-layout.js';

/** What was asked of the hub. */
interface HubQuestion {
  readonly id: string;
  readonly revision: string;
  readonly endpoint: string;
  readonly kind?: RepositoryKind;
}

/** A failed request as one line that says what to do. DistriErrors pass. */
export function explain(error: unknown, question: HubQuestion): DistriError {
  if (error instanceof DistriError) return error;
  const problem = error instanceof HubApiError ? refusal(error, question) : silence(error, question);
  return new DistriError('network', `${question.id}: ${problem}`, { cause: error });
}

/** True when the hub was not reached or is not itself: trying again, or using the cache, is right. */
export function isPassing(error: unknown): boolean {
  if (error instanceof DistriError) return false;
  return !(error instanceof HubApiError) || error.statusCode >= 500 || error.statusCode === 429;
}

function refusal(
  { statusCode, message }: HubApiError,
  { id, revision, endpoint, kind }: HubQuestion,
): string {
  const what = kind === 'dataset' ? 'data set' : 'model';
  const page = `${endpoint}/${kind === 'dataset' ? 'datasets/' : ''}${id}`;
  switch (statusCode) {
    case 401:
      return `no such folder, and ${endpoint} gives it to nobody unknown (401): check the name, or set HF_TOKEN if the ${what} is private or gated (its licence is accepted at ${page})`;
    case 403:
      return `${endpoint} refuses access (403): accept the licence at ${page} and set HF_TOKEN to a token of that account`;
    case 404:
      return `no such folder, and no such ${what} with a revision ${JSON.stringify(revision)} at ${endpoint} (404)`;
    default:
      return `${endpoint} answers ${statusCode}: ${abbreviate(message.replaceAll(/\s+/g, ' '))}`;
  }
}

function silence(thrown: unknown, { endpoint }: HubQuestion): string {
  const error = toError(thrown);
  // fetch says "fetch failed" and hides why (ECONNREFUSED, ENOTFOUND, a certificate) in the cause.
  const reason = error.cause instanceof Error ? error.cause.message || error.cause.name : error.message;
  return `no such folder, and the download from ${endpoint} failed: ${reason}; check the network and HF_ENDPOINT`;
}
