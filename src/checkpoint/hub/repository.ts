import { datasetInfo, HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub';
import { DistriError } from '../../base/errors.js';
import { staysInside } from '../../base/inner-path.js';
import { bytesText } from '../../base/numbers.js';
import { quote } from '../../base/quote.js';
import { isCommit, type RepositoryKind } from './cache-layout.js';

/** A file on the hub. */
export interface RemoteFile {
  /** Relative to the repository's root. */
  readonly path: string;
  readonly size: number;
  /** The blob's name: SHA-256 of the content of large files (LFS), git's object id (SHA-1) of the others. */
  readonly etag: string;
}

/** What a revision has. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

/**
 * Of answers but for files: a list of a thousand files has 1 MB. A few kilobytes can be any number when
 * decompressed.
 */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** The hub advises against more than a hundred thousand in one repository. */
const MAX_FILES = 1_000_000;

/** A server that takes longer to begin its answer is taken to be down. */
const ANSWER_TIMEOUT_MS = 30_000;

const ETAG = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** What the hub says of one model or data set. Requests fail with HubApiError, or what `fetch` throws. */
export class Repository {
  /** For files. */
  private readonly fetch: typeof fetch;
  /** For everything else. */
  private readonly ask: typeof fetch;

  constructor(
    readonly id: string,
    readonly endpoint: string,
    token: string | undefined,
    private readonly kind: RepositoryKind = 'model',
  ) {
    this.fetch = authorized(endpoint, token);
    this.ask = bounded(impatient(this.fetch), id);
  }

  /** `revision` is a branch, a tag or a commit. */
  async list(revision: string): Promise<Listing> {
    const commit = await this.commitOf(revision);
    return { commit, files: await this.files(commit) };
  }

  private async commitOf(revision: string): Promise<string> {
    const question = {
      name: this.id,
      revision,
      additionalFields: ['sha' as const],
      hubUrl: this.endpoint,
      fetch: this.ask,
    };
    const { sha } = await (this.kind === 'model' ? modelInfo(question) : datasetInfo(question));
    if (!isCommit(sha)) throw this.nonsense(`the commit ${quote(sha)}`);
    return sha;
  }

  private async files(commit: string): Promise<RemoteFile[]> {
    const files: RemoteFile[] = [];
    const entries = listFiles({
      repo: { type: this.kind, name: this.id },
      revision: commit,
      recursive: true,
      hubUrl: this.endpoint,
      fetch: this.ask,
    });
    for await (const entry of entries) {
      if (entry.type === 'file') files.push(this.remoteFile(entry));
      if (files.length > MAX_FILES) throw this.nonsense(`a list of more than ${MAX_FILES} files`);
    }
    return files;
  }

  /** What the answer says becomes names of files, so it must be what it should be. */
  private remoteFile({ path, size: ownSize, oid, lfs }: ListFileEntry): RemoteFile {
    if (!isRepositoryPath(path)) throw this.nonsense(`the path ${quote(path)}`);
    const etag: unknown = lfs?.oid ?? oid;
    if (typeof etag !== 'string' || !ETAG.test(etag)) {
      throw this.nonsense(`the object id ${quote(etag)} of ${quote(path)}`);
    }
    const size: unknown = lfs?.size ?? ownSize;
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw this.nonsense(`the size ${quote(size)} of ${quote(path)}`);
    }
    return { path, size, etag };
  }

  /** Asks for the bytes of a file from `start` on. */
  async content(commit: string, path: string, start: number, signal: AbortSignal): Promise<Response> {
    const prefix = this.kind === 'model' ? '' : 'datasets/';
    const url = `${this.endpoint}/${prefix}${this.id}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
    const range = start === 0 ? {} : { Range: `bytes=${start}-` };
    // Compression would hide the length and make ranges meaningless.
    const response = await this.fetch(url, { headers: { 'Accept-Encoding': 'identity', ...range }, signal });
    if (response.ok) return response;
    await response.body?.cancel();
    throw new HubApiError(
      url,
      response.status,
      undefined,
      response.headers.get('X-Error-Message') ?? response.statusText,
    );
  }

  private nonsense(what: string): DistriError {
    return new DistriError('network', `${this.id}: ${this.endpoint} gives ${what}, which is not one`);
  }
}

/**
 * fetch with the token, for `endpoint` alone: redirects to storage servers must not see it (fetch drops the
 * header when a redirect changes the origin). @huggingface/hub would do the same, but refuses tokens that do
 * not start with "hf_", and mirrors have others.
 */
function authorized(endpoint: string, token: string | undefined): typeof fetch {
  const { origin } = new URL(endpoint);
  return (input, init) => {
    const headers = new Headers(init?.headers);
    if (token !== undefined && new URL(String(input)).origin === origin) {
      headers.set('Authorization', `Bearer ${token}`);
    }
    return fetch(input, { ...init, headers });
  };
}

function impatient(wrapped: typeof fetch): typeof fetch {
  return (input, init) => wrapped(input, { ...init, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
}

/** Breaks off answers that are longer than any of the hub. */
function bounded(wrapped: typeof fetch, id: string): typeof fetch {
  return async (input, init) => {
    const response = await wrapped(input, init);
    if (response.body === null) return response;
    let bytes = 0;
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.length;
        if (bytes <= MAX_ANSWER_BYTES) controller.enqueue(chunk);
        else controller.error(tooLong(id, response.url));
      },
    });
    const { status, statusText, headers } = response;
    const answer = new Response(response.body.pipeThrough(counted), { status, statusText, headers });
    // Errors quote it.
    return Object.defineProperty(answer, 'url', { value: response.url });
  };
}

function tooLong(id: string, url: string): DistriError {
  const { origin } = new URL(url);
  return new DistriError('network', `${id}: ${origin} answers with more than ${bytesText(MAX_ANSWER_BYTES)}`);
}

/** Git has no others. */
function isRepositoryPath(path: unknown): path is string {
  return (
    typeof path === 'string' && staysInside(path) && path.split('/').every((part) => !/^\.?$/.test(part))
  );
}
