import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expandHome, userCacheDir } from '../base/cache-dir.js';
import { DistriError, toError } from '../base/errors.js';
import { isFile } from '../base/file-io.js';

/** A public file of weights. */
export interface Download {
  readonly name: string;
  readonly url: string;
  /** In bytes. */
  readonly size: number;
  readonly sha256: string;
}

/** Weights of one network: what files that hold them are called, and where one can be had. */
export interface KnownWeights {
  /** Such as "AlexNet". */
  readonly network: string;
  /** The option that names a file. */
  readonly option: string;
  readonly names: readonly string[];
  /** Names in the folder for temporary files, where clean-fid keeps its copy. */
  readonly temporaryNames: readonly string[];
  readonly download: Download;
}

const ALEXNET = 'alexnet-owt-7be5be79.pth';
const INCEPTION = 'pt_inception-2015-12-05-6726825d.pth';
const CLEAN_FID_INCEPTION = 'inception-2015-12-05.pt';

/** torchvision's AlexNet. */
export const alexNetFiles: KnownWeights = {
  network: 'AlexNet',
  option: '--lpips_weights',
  names: [ALEXNET, 'alexnet-owt-4df8aa71.pth'],
  temporaryNames: [],
  download: {
    name: ALEXNET,
    url: `https://download.pytorch.org/models/${ALEXNET}`,
    size: 244_408_911,
    sha256: '7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02',
  },
};

/** TensorFlow's Inception of 2015-12-05, in pytorch-fid's, torch-fidelity's and NVIDIA's files. */
export const inceptionFiles: KnownWeights = {
  network: 'Inception',
  option: '--fid_weights',
  names: [INCEPTION, 'weights-inception-2015-12-05-6726825d.pth', CLEAN_FID_INCEPTION],
  temporaryNames: [CLEAN_FID_INCEPTION],
  download: {
    name: INCEPTION,
    url: `https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/${INCEPTION}`,
    size: 95_628_359,
    sha256: '6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2',
  },
};

export interface FindOptions {
  /** Whether nothing may be downloaded. HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE say the same. */
  readonly offline: boolean;
  /** Told how much of a download is there, in bytes. */
  readonly onDownload: (download: Download, done: number) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * The path of the weights: in torch's folder for downloads or clean-fid's, or downloaded to the former. What
 * is nowhere is a `checkpoint` error that says where was looked.
 */
export async function findWeights(known: KnownWeights, options: FindOptions): Promise<string> {
  const { offline, onDownload, env = process.env } = options;
  const folder = torchFolder(env);
  const candidates = [
    ...known.names.map((name) => join(folder, name)),
    ...known.temporaryNames.flatMap((name) =>
      [...new Set(['/tmp', tmpdir()])].map((temporary) => join(temporary, name)),
    ),
  ];
  for (const path of candidates) if (await isFile(path)) return path;
  const { download, network, option } = known;
  const { hubEnvironment } = await import('../checkpoint/hub/environment.js');
  if (offline || (await hubEnvironment(env)).offline) {
    throw new DistriError(
      'checkpoint',
      `${network}'s weights are not there (looked for ${candidates.join(', ')}) and nothing is downloaded offline; ${option} <file> names others, ${download.url} has them`,
    );
  }
  return downloadWeights(download, folder, onDownload).catch((error) => {
    if (error instanceof DistriError && error.code !== 'network') throw error;
    throw new DistriError(
      'network',
      `${network}'s weights are not there (looked for ${candidates.join(', ')}), and ${download.url} cannot be had: ${reasonOf(error)}; ${option} <file> names others`,
      { cause: error },
    );
  });
}

/**
 * Downloads a file into `folder` unless it breaks off or its size or hash are wrong; an unfinished one is
 * continued by the next call.
 */
async function downloadWeights(
  download: Download,
  folder: string,
  onDownload: FindOptions['onDownload'],
): Promise<string> {
  const { downloadBlob } = await import('../checkpoint/hub/download.js');
  const { name, url, size, sha256 } = download;
  const target = join(folder, name);
  const request = async (start: number, signal: AbortSignal) => {
    const range = start === 0 ? {} : { Range: `bytes=${start}-` };
    const response = await fetch(url, { headers: { 'Accept-Encoding': 'identity', ...range }, signal });
    if (response.ok) return response;
    await response.body?.cancel();
    const problem = `the server answers ${response.status}`;
    // What is not there now will not be there a second later.
    throw response.status >= 500 ? new Error(problem) : new DistriError('network', problem);
  };
  await downloadBlob({ path: name, size, etag: sha256 }, target, request, (done) =>
    onDownload(download, done),
  );
  return target;
}

/** Where torch.hub keeps what it downloads. */
function torchFolder(env: NodeJS.ProcessEnv): string {
  const home = env.TORCH_HOME || join(userCacheDir(env), 'torch');
  return join(expandHome(home), 'hub', 'checkpoints');
}

/** fetch says "fetch failed" and hides why in the cause. */
function reasonOf(thrown: unknown): string {
  const { cause, message } = toError(thrown);
  return cause instanceof Error ? cause.message || cause.name : message;
}
