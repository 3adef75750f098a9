import { availableParallelism } from 'node:os';
import type { InferenceSession } from 'onnxruntime-node';
import { disableTelemetry } from '../../base/telemetry.js';
import { elementType, encodeModel } from '../../graph/onnx/schema.js';
import { attributeProto, inlineTensor } from '../../graph/onnx/serialize.js';
import type { Attribute } from '../../graph/value.js';
import { float32, type Shape, type Tensor } from '../../tensor/tensor.js';

/** The result of a node. */
export interface Edge {
  readonly name: string;
}

/**
 * Builds ONNX models of standard operators whose sizes are known only when they run, with their weights
 * inside.
 */
export class NetworkGraph {
  private readonly nodes: Record<string, unknown>[] = [];
  private readonly initializers = new Map<string, Record<string, unknown>>();

  constant(name: string, tensor: Tensor): Edge {
    this.initializers.set(name, inlineTensor(name, tensor));
    return { name };
  }

  scalar(name: string, value: number): Edge {
    return this.constant(name, float32([], Float32Array.of(value)));
  }

  /** A node with one result, which gets the node's name. */
  node(
    op: string,
    name: string,
    inputs: readonly Edge[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Edge {
    const [edge] = this.nodesOf(op, name, inputs, [name], attributes);
    return edge as Edge;
  }

  nodesOf(
    opType: string,
    name: string,
    inputs: readonly Edge[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Edge[] {
    const attribute = Object.entries(attributes).map(([key, value]) => attributeProto(key, value));
    this.nodes.push({ opType, name, input: inputs.map((edge) => edge.name), output: outputs, attribute });
    return outputs.map((output) => ({ name: output }));
  }

  /** The model from the float32 input called `input`, of as many dimensions as `rank`, to `output`. */
  compile(input: string, rank: number, output: Edge): Uint8Array {
    const dim = Array.from({ length: rank }, () => ({}));
    const graph = {
      name: output.name,
      node: this.nodes,
      initializer: [...this.initializers.values()],
      input: [{ name: input, type: { tensorType: { elemType: elementType.float32, shape: { dim } } } }],
      output: [{ name: output.name, type: { tensorType: { elemType: elementType.float32 } } }],
    };
    return encodeModel({
      irVersion: 9,
      producerName: 'distri',
      graph,
      opsetImport: [{ domain: '', version: 20 }],
    });
  }
}

/** How networks run. */
export interface NetworkOptions {
  /** Threads of one operator; by default one for each processor. */
  readonly threads?: number | undefined;
}

/**
 * A network with one input and one output on onnxruntime-node's own binding, which is loaded only when a
 * network is.
 */
export class OnnxNetwork {
  private constructor(
    private readonly session: InferenceSession,
    private readonly tensor: typeof import('onnxruntime-node').Tensor,
  ) {}

  static async create(model: Uint8Array, { threads }: NetworkOptions): Promise<OnnxNetwork> {
    disableTelemetry();
    const { InferenceSession, Tensor } = await import('onnxruntime-node');
    const session = await InferenceSession.create(model, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads ?? availableParallelism(),
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    return new OnnxNetwork(session, Tensor);
  }

  async run(data: Float32Array, shape: Shape): Promise<Float32Array> {
    const [input] = this.session.inputNames as [string];
    const [output] = this.session.outputNames as [string];
    const results = await this.session.run({ [input]: new this.tensor('float32', data, shape) });
    return results[output]?.data as Float32Array;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
