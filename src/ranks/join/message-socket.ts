import type { Socket } from 'node:net';
import { deserialize, serialize } from 'node:v8';
import { DistriError, toError } from '../../base/errors.js';

const LENGTH_BYTES = 4;
/** Orders and reports are small; a longer one is not ours. */
const MAX_MESSAGE_BYTES = 64 << 20;

/**
 * Messages over a local socket, each with its length before it; any value that Node's IPC channel of children
 * could carry.
 */
export class MessageSocket<Received, Sent> {
  /** What has come and belongs to no whole message yet. */
  private pieces: Buffer[] = [];
  private pending = 0;
  /** How much has to be there for the next step: a length, or a length and its message. */
  private wanted = LENGTH_BYTES;
  private listener: (message: Received) => void = () => {};
  private problem: string | undefined;

  constructor(private readonly socket: Socket) {
    socket.on('data', (data) => this.take(data));
    // `close` follows, which says all there is to say.
    socket.on('error', () => {});
  }

  /** Called for every message from now on; one listener at a time. */
  onMessage(listener: (message: Received) => void): void {
    this.listener = listener;
  }

  /** Called once, when the other side is gone or `destroy` was called. */
  onClose(listener: () => void): void {
    this.socket.once('close', listener);
  }

  get open(): boolean {
    return !this.socket.destroyed;
  }

  /** Why this side closed the connection, where something that came was the reason. */
  get failure(): string | undefined {
    return this.problem;
  }

  /** Throws a DistriError when the message is too long for the other side. */
  send(message: Sent): void {
    if (!this.socket.writable) return;
    const body = serialize(message);
    if (body.length > MAX_MESSAGE_BYTES) {
      throw new DistriError(
        'internal',
        `A message between ranks has ${body.length} bytes, but ${MAX_MESSAGE_BYTES} are the most`,
      );
    }
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(body.length);
    this.socket.write(Buffer.concat([length, body]));
  }

  destroy(): void {
    this.socket.destroy();
  }

  private take(data: Buffer): void {
    this.pieces.push(data);
    this.pending += data.length;
    while (this.pending >= this.wanted && this.open) this.advance();
  }

  private advance(): void {
    const [first] = this.pieces as [Buffer];
    const all = this.pieces.length === 1 ? first : Buffer.concat(this.pieces, this.pending);
    this.pieces = [all];
    const length = all.readUInt32LE();
    if (length > MAX_MESSAGE_BYTES) {
      this.fail(`a message of ${length} bytes came, but ${MAX_MESSAGE_BYTES} are the most`);
      return;
    }
    this.wanted = LENGTH_BYTES + length;
    if (this.pending < this.wanted) return;
    this.pieces = [all.subarray(this.wanted)];
    this.pending -= this.wanted;
    const message = this.read(all.subarray(LENGTH_BYTES, this.wanted));
    this.wanted = LENGTH_BYTES;
    if (message !== undefined) this.listener(message.value);
  }

  private read(body: Buffer): { readonly value: Received } | undefined {
    try {
      return { value: deserialize(body) as Received };
    } catch (error) {
      this.fail(`what came is no message: ${toError(error).message}`);
      return undefined;
    }
  }

  private fail(problem: string): void {
    this.problem = problem;
    this.destroy();
  }
}
