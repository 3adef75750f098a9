import { DistriError } from '../base/errors.js';
import { quote } from '../base/quote.js';
import { SafetensorsFile } from '../checkpoint/formats/safetensors.js';
import { TorchFile } from '../checkpoint/formats/torch/torch-file.js';
import type { Shape, Tensor } from '../tensor/tensor.js';
import type { NetworkWeights } from './networks/network-weights.js';

/** A file with named tensors. */
export interface TensorFile {
  readonly path: string;
  /** In the file's order. */
  readonly shapes: ReadonlyMap<string, Shape>;
  read(name: string): Promise<Tensor>;
}

/** Opens a file of `torch.save` or `torch.jit.save`, or else a .safetensors file, whatever its name. */
export async function openTensorFile(path: string): Promise<TensorFile> {
  const isTorch =
    !path.endsWith('.safetensors') &&
    (/\.(?:pth?|bin|ckpt)$/.test(path) || (await TorchFile.recognizes(path)));
  const file = isTorch ? await TorchFile.open(path) : await SafetensorsFile.open(path);
  const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
  return { path, shapes, read: (name) => file.read(name) };
}

/**
 * Weights of a network that lie in `file` under names of its own; `names` gives them by the network's names.
 */
export class FileWeights implements NetworkWeights {
  constructor(
    private readonly file: TensorFile,
    private readonly names: ReadonlyMap<string, string>,
  ) {}

  has(name: string): boolean {
    return this.names.has(name);
  }

  async read(name: string): Promise<Tensor<'float32'>> {
    const stored = this.names.get(name) ?? name;
    const tensor = await this.file.read(stored);
    if (tensor.dtype === 'float32') return tensor as Tensor<'float32'>;
    throw new DistriError('checkpoint', `${this.file.path}: tensor ${quote(stored)} does not hold floats`);
  }
}

/**
 * The tensors of these names and shapes in `file`, under the same names; a missing or different one is a
 * `checkpoint` error.
 */
export function exactWeights(file: TensorFile, shapes: ReadonlyMap<string, Shape>): FileWeights {
  for (const [name, shape] of shapes) {
    const stored = file.shapes.get(name);
    if (stored === undefined)
      throw new DistriError('checkpoint', `${file.path}: has no tensor ${quote(name)}`);
    if (stored.join() !== shape.join()) {
      throw new DistriError(
        'checkpoint',
        `${file.path}: tensor ${quote(name)} has shape [${stored.join(', ')}], not [${shape.join(', ')}]`,
      );
    }
  }
  return new FileWeights(file, new Map([...shapes.keys()].map((name) => [name, name])));
}
