import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DistriError } from '../base/errors.js';
import { fileError, isFile } from '../base/file-io.js';
import { staysInside } from '../base/inner-path.js';
import { isJsonObject, readJsonObject } from '../base/json.js';
import { listNames, quote } from '../base/quote.js';

/** What a file of weights is for, told by its name alone. `variant` is '' for files without one. */
export interface WeightFileName {
  readonly name: string;
  readonly variant: string;
  readonly kind: 'file' | 'index';
}

/** One component's weights on disk: files, and for sharded weights the shard of each tensor. */
export interface WeightFiles {
  readonly paths: readonly string[];
  /** From tensor name to one of `paths`; undefined when one file has all tensors. */
  readonly shardOf: ReadonlyMap<string, string> | undefined;
  /** What errors call the whole: the file, or the index. */
  readonly source: string;
}

/**
 * diffusers' name for its models and transformers' name for text encoders (SAFETENSORS_WEIGHTS_NAME in both).
 */
const FILE = /^(?:diffusion_pytorch_model|model)(?:\.(.+))?\.safetensors$/;
/**
 * `_add_variant` of both libraries puts the variant before `.json`; some repositories have it before
 * `.safetensors`.
 */
const INDEX = /^(?:diffusion_pytorch_model|model)(?:\.(.+))?\.safetensors\.index(?:\.(.+))?\.json$/;
const SHARD = /-\d{5}-of-\d{5}/;
const PICKLE = /\.(?:bin|pt|pth|ckpt)$/;

/**
 * What the file called `name` holds; undefined for anything but weights, and for shards, which their index
 * names.
 */
function parseWeightFileName(name: string): WeightFileName | undefined {
  if (SHARD.test(name)) return undefined;
  const index = INDEX.exec(name);
  if (index !== null) return { name, variant: index[2] ?? index[1] ?? '', kind: 'index' };
  const file = FILE.exec(name);
  return file === null ? undefined : { name, variant: file[1] ?? '', kind: 'file' };
}

/**
 * Which of a component's files (`names`, in the folder `where`) to load. Without a wish (`variant` undefined)
 * the files without a variant are taken, or those of the only variant there is. Two forms of the same: the
 * index, as in diffusers.
 */
export function chooseWeightFile(
  names: readonly string[],
  variant: string | undefined,
  where: string,
): WeightFileName {
  const found = names.map(parseWeightFileName).filter((name) => name !== undefined);
  if (found.length === 0) throw new DistriError('checkpoint', `${where}: ${whyNone(names)}`);
  const wanted = variant ?? defaultVariant(found, where);
  const matching = found.filter((name) => name.variant === wanted);
  const chosen = matching.find(({ kind }) => kind === 'index') ?? matching[0];
  if (chosen === undefined) {
    throw new DistriError(
      'checkpoint',
      `${where}: no weights of variant ${quote(wanted)}; ${listVariants(found)}`,
    );
  }
  return chosen;
}

/** Finds the weights in `folder` and, where they are sharded, reads and checks the index. */
export async function findWeightFiles(folder: string, variant: string | undefined): Promise<WeightFiles> {
  const names = await readdir(folder).catch((error) => {
    throw fileError(error, folder);
  });
  const { name, kind } = chooseWeightFile(names.sort(), variant, folder);
  const source = join(folder, name);
  if (kind === 'file') return { paths: [source], shardOf: undefined, source };
  const shardOf = await readIndex(folder, source);
  return { paths: [...new Set(shardOf.values())], shardOf, source };
}

/** The shards that the index with this content names, as `[tensor, relative path]`. */
export function parseIndex(content: unknown, source: string): readonly (readonly [string, string])[] {
  const map = isJsonObject(content) ? content.weight_map : undefined;
  if (!isJsonObject(map)) throw new DistriError('checkpoint', `${source}: has no object "weight_map"`);
  return Object.entries(map).map(([tensor, shard]) => {
    if (typeof shard !== 'string' || !staysInside(shard)) {
      throw new DistriError(
        'checkpoint',
        `${source}: tensor ${quote(tensor)} is said to be in ${quote(shard)}, which is no file name inside the folder`,
      );
    }
    return [tensor, shard];
  });
}

async function readIndex(folder: string, source: string): Promise<ReadonlyMap<string, string>> {
  const entries = parseIndex(await readJsonObject(source), source);
  const shards = [...new Set(entries.map(([, shard]) => shard))];
  const present = await Promise.all(shards.map((shard) => isFile(join(folder, shard))));
  const missing = shards.filter((_, i) => !present[i]);
  if (missing.length > 0) {
    throw new DistriError(
      'checkpoint',
      `${source}: ${missing.length} of ${shards.length} shards are missing: ${listNames(missing)}`,
    );
  }
  return new Map(entries.map(([tensor, shard]) => [tensor, join(folder, shard)]));
}

function defaultVariant(found: readonly WeightFileName[], where: string): string {
  const variants = new Set(found.map(({ variant }) => variant));
  if (variants.has('')) return '';
  const [only, ...others] = variants;
  if (only === undefined || others.length > 0) {
    throw new DistriError(
      'checkpoint',
      `${where}: several variants, choose one with --variant; ${listVariants(found)}`,
    );
  }
  return only;
}

function listVariants(found: readonly WeightFileName[]): string {
  const texts = found.map(
    ({ name, variant }) => `${variant === '' ? 'no variant' : quote(variant)} (${name})`,
  );
  return `there are ${listNames(texts)}`;
}

function whyNone(names: readonly string[]): string {
  const shards = names.filter((name) => SHARD.test(name) && name.endsWith('.safetensors'));
  if (shards.length > 0) return `shards without their index (*.safetensors.index.json): ${listNames(shards)}`;
  const pickles = names.filter((name) => PICKLE.test(name));
  if (pickles.length > 0) {
    return (
      `only PyTorch pickle files (${listNames(pickles)}), but distri reads .safetensors; ` +
      'save_pretrained(..., safe_serialization=True) of diffusers or transformers writes them'
    );
  }
  return 'no weights: expected diffusion_pytorch_model.safetensors or model.safetensors';
}
