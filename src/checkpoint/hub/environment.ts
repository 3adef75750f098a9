import { join } from 'node:path';
import { HUB_URL } from '@huggingface/hub';
import { expandHome, userCacheDir } from '../../base/cache-dir.js';
import { DistriError, expected } from '../../base/errors.js';
import { readWhole } from '../../base/file-io.js';
import { keepSecret } from '../../base/secrets.js';

/**
 * What the environment says of the hub, in the variables and with the precedence of huggingface_hub
 * (constants.py, utils/_auth.py). @huggingface/hub reads only those of the cache.
 */
export interface HubEnvironment {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  readonly cacheDir: string;
  /** Where Python's `datasets` keeps what it prepared. */
  readonly datasetsCacheDir: string;
}

export async function hubEnvironment(env: NodeJS.ProcessEnv = process.env): Promise<HubEnvironment> {
  return {
    endpoint: findEndpoint(env),
    token: isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN) ? undefined : await findToken(env),
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
    cacheDir: expandHome(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hubHome(env), 'hub')),
    datasetsCacheDir: expandHome(env.HF_DATASETS_CACHE || join(hubHome(env), 'datasets')),
  };
}

const MAX_TOKEN_BYTES = 4096;

function findEndpoint(env: NodeJS.ProcessEnv): string {
  const endpoint = env.HF_ENDPOINT || HUB_URL;
  if (!/^https?:/.test(endpoint) || !URL.canParse(endpoint)) throw expected('a URL', 'HF_ENDPOINT', endpoint);
  let end = endpoint.length;
  while (endpoint[end - 1] === '/') end--;
  return endpoint.slice(0, end);
}

async function findToken(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const path = expandHome(env.HF_TOKEN_PATH || join(hubHome(env), 'token'));
  const token = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || (await readTokenFile(path));
  // Checked here, because fetch would quote the header, and so the token, in its error.
  if (!/^[\x21-\x7e]*$/.test(token.trim())) {
    throw new DistriError('usage', `HF_TOKEN or ${path} holds characters that no token has`);
  }
  keepSecret(token.trim());
  return token.trim() || undefined;
}

/** '' where there is none. */
async function readTokenFile(path: string): Promise<string> {
  return readWhole(path, { most: MAX_TOKEN_BYTES, of: 'a token' }).then(
    (bytes) => bytes.toString('utf8'),
    () => '',
  );
}

function hubHome(env: NodeJS.ProcessEnv): string {
  return expandHome(env.HF_HOME || join(userCacheDir(env), 'huggingface'));
}

function isTrue(value: string | undefined): boolean {
  return ['1', 'ON', 'YES', 'TRUE'].includes((value ?? '').toUpperCase());
}
